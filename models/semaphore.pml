/* ipc/semaphore_words: permits that are robust futexes, and a turnstile (os/turnstile) whose one visitor sleeps on the words
 * of all permits. Each thread may die at each step; the kernel then does what exit_robust_list does:
 *   - a word of which it is the owner loses it, and one sleeper is woken where the word says that there is one;
 *   - a word that it has announced (list_op_pending) and that has no owner: one sleeper is woken.
 *
 * Checked: no permit has two owners, and nobody sleeps for ever while a permit is free: each thread gets one, gives it back
 * and comes to its end, or has died. (A sleeper that nobody wakes is an invalid end state.)
 *
 * -DFORGETFUL gives a permit back by a word of 0, without the mark of the sleeper. Then the one that gives back can be
 * killed before it wakes, after another one has taken the permit: the kernel sees an owner and wakes nobody, and the new
 * owner finds no mark. Spin shows how.
 */
#ifndef THREADS
#define THREADS 3
#endif
#ifndef PERMITS
#define PERMITS 1
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef DEATHS
#define DEATHS 2
#endif
#ifndef PATIENCE
#define PATIENCE 1
#endif

#define TURNSTILE PERMITS /* its word comes after those of the permits */
#define NONE 255
#define AWAKE 0
#define ON_PERMITS 1
#define ON_TURNSTILE 2

byte owner[PERMITS + 1];    /* of a word: 0 or 1..THREADS */
bool mark[PERMITS + 1];     /* FUTEX_WAITERS */
byte pending[THREADS + 1];  /* the announced word */
byte asleep[THREADS + 1];
bool hungry = false;
byte deaths = DEATHS;

/* futex(FUTEX_WAKE) of one; `count` says of how many. */
inline wake(word, count) {
  count = 0;
  other = 1;
  do
  :: other > THREADS -> break
  :: other <= THREADS ->
     if
     :: (word == TURNSTILE && asleep[other] == ON_TURNSTILE) || (word != TURNSTILE && asleep[other] == ON_PERMITS) ->
        asleep[other] = AWAKE; count = 1; break
     :: else -> other++
     fi
  od;
  other = 0
}

/* At each step that another process could see. */
inline may_die() {
  if
  :: atomic { deaths > 0 ->
       deaths--;
       asleep[me] = AWAKE;
       i = 0;
       do
       :: i > TURNSTILE -> break
       :: i <= TURNSTILE ->
          if
          :: owner[i] == me ->
             owner[i] = 0;
             if
             :: mark[i] -> wake(i, woken)
             :: else
             fi
          :: owner[i] == 0 && pending[me] == i -> wake(i, woken)
          :: else
          fi;
          i++
       od;
       pending[me] = NONE;
       goto dead }
  :: true
  fi
}

/* A permit that is free, in any place. */
inline take() {
  taken = NONE;
  i = 0;
  do
  :: i == PERMITS || taken != NONE -> break
  :: i < PERMITS && taken == NONE ->
     if
     :: owner[i] != 0 -> i++
     :: owner[i] == 0 ->
        pending[me] = i;
        may_die();
        if /* the compare-exchange, which keeps the mark */
        :: atomic { owner[i] == 0 -> owner[i] = me; taken = i }
        :: atomic { owner[i] != 0 -> i++ }
        fi;
        may_die();
        pending[me] = NONE
     fi
  od;
  i = 0
}

inline enter_turnstile() {
  pending[me] = TURNSTILE;
  was_woken = false;
  do
  :: atomic { owner[TURNSTILE] == 0 && (was_woken || !mark[TURNSTILE]) -> owner[TURNSTILE] = me; break }
  :: atomic { owner[TURNSTILE] == 0 && !was_woken && mark[TURNSTILE] -> wake(TURNSTILE, woken) }
     may_die();
     if
     :: woken == 0 ->
        if
        :: atomic { owner[TURNSTILE] == 0 -> owner[TURNSTILE] = me; break }
        :: else
        fi
     :: woken == 1 -> /* the word is free and marked, as it was seen; else the sleep ends at once */
        atomic {
          if
          :: owner[TURNSTILE] == 0 && mark[TURNSTILE] -> asleep[me] = ON_TURNSTILE; was_woken = true
          :: else
          fi }
        may_die();
        asleep[me] == AWAKE
     fi
  :: owner[TURNSTILE] != 0 ->
     seen = owner[TURNSTILE];
     atomic {
       if
       :: seen != 0 && owner[TURNSTILE] == seen -> mark[TURNSTILE] = true
       :: else -> seen = 0
       fi }
     may_die();
     if
     :: seen == 0
     :: seen != 0 ->
        atomic {
          if
          :: owner[TURNSTILE] == seen && mark[TURNSTILE] -> asleep[me] = ON_TURNSTILE; was_woken = true
          :: else -> was_woken = false
          fi }
        may_die();
        asleep[me] == AWAKE
     fi;
     seen = 0
  od;
  may_die();
  pending[me] = NONE
}

inline leave_turnstile() {
  pending[me] = TURNSTILE;
  may_die();
  atomic { owner[TURNSTILE] = 0; was_woken = mark[TURNSTILE] }
  may_die();
  if
  :: was_woken ->
     atomic { wake(TURNSTILE, woken) }
     may_die();
     atomic {
       if
       :: woken == 0 && owner[TURNSTILE] == 0 -> mark[TURNSTILE] = false
       :: else
       fi }
  :: else
  fi;
  was_woken = false;
  pending[me] = NONE
}

inline give_back() {
  pending[me] = taken;
  may_die();
#ifdef FORGETFUL
  atomic { owner[taken] = 0; was_woken = mark[taken]; mark[taken] = false }
#else
  atomic { owner[taken] = 0; was_woken = mark[taken] }
#endif
  may_die();
  if
  :: was_woken ->
     atomic { wake(taken, woken) }
     may_die();
#ifndef FORGETFUL
     atomic { /* nobody was there: the mark goes, unless the word has been taken meanwhile */
       if
       :: woken == 0 && owner[taken] == 0 -> mark[taken] = false
       :: else
       fi }
#endif
  :: else
  fi;
  was_woken = false;
  pending[me] = NONE;
  taken = NONE
}

active [THREADS] proctype Thread() {
  byte me = _pid + 1, rounds = ROUNDS, i = 0, other = 0, woken = 0, seen = 0, taken = NONE, sleeps = 0;
  byte expected[PERMITS];
  bool was_woken = false;
  pending[me] = NONE;

  do
  :: rounds == 0 -> break
  :: rounds > 0 ->
     rounds--;
     if
     :: !hungry -> take()
     :: hungry -> taken = NONE
     fi;
     if
     :: taken != NONE
     :: taken == NONE ->
        enter_turnstile();
        sleeps = 0;
look:
        if
        :: sleeps == PATIENCE -> hungry = true
        :: else
        fi;
        may_die();
        take();
        if
        :: taken != NONE -> goto inside
        :: taken == NONE
        fi;
        i = 0;
        do
        :: i == PERMITS -> break
        :: i < PERMITS ->
           expected[i] = owner[i];
           if
           :: expected[i] == 0 -> goto look
           :: expected[i] != 0 ->
              atomic {
                if
                :: owner[i] == expected[i] -> mark[i] = true
                :: else -> goto look
                fi }
              may_die()
           fi;
           i++
        od;
        atomic { /* futex_waitv(2) looks at each word as it queues for it; one that changes later wakes */
          i = 0;
          do
          :: i == PERMITS -> asleep[me] = ON_PERMITS; break
          :: i < PERMITS && owner[i] == expected[i] && mark[i] -> i++
          :: i < PERMITS && !(owner[i] == expected[i] && mark[i]) -> goto look
          od;
          i = 0 }
        may_die();
        asleep[me] == AWAKE;
        if
        :: sleeps < PATIENCE -> sleeps++
        :: else
        fi;
        goto look;
inside:
        hungry = false;
        may_die();
        leave_turnstile()
     fi;
     assert(owner[taken] == me);
     may_die();
     give_back()
  od;
dead:
  skip
}
