/* ipc/job_queue_core, ipc/job_participants: who sleeps until there is a job, and who wakes it. All is decided under a robust
 * lock (robust_lock.pml; here it is a word that the kernel frees); the wake-up comes after it. Each thread may die at each
 * step: the kernel then marks its life word and wakes one of those that sleep on it, which all other sleepers do.
 *
 * Checked: when nothing can go on any more, nobody sleeps while a job is ready or leased to a dead one; and each job is done,
 * ready or leased: none is lost, none is there twice.
 *
 * -DTRUSTING does not forget who was about to be woken when a dead one is found. It may have been the one that was going to
 * wake, or the one that was woken.
 */
#ifndef PUBLISHERS
#define PUBLISHERS 1
#endif
#ifndef RECEIVERS
#define RECEIVERS 2
#endif
#ifndef JOBS
#define JOBS 2 /* of each publisher */
#endif
#ifndef DEATHS
#define DEATHS 2
#endif

#define THREADS (PUBLISHERS + RECEIVERS)
#define NONE 255
#define BIT(thread) (1 << (thread))

byte ready = 0, published = 0, done = 0;
byte leased[THREADS];
bool sleeps[THREADS];    /* has said that it is going to, */
bool woken[THREADS];     /* and has been chosen to be woken */
byte unwoken = 0;        /* how many of those that sleep have not; made again after a death */
byte wake_word[THREADS];
bool asleep[THREADS];
byte watched[THREADS];   /* on whose lives it sleeps */
bool dead[THREADS];      /* the kernel's mark */
bool swept[THREADS];     /* its slot is free again */
byte lock = NONE;
bool unfinished = false; /* a holder of the lock has died */
byte deaths = DEATHS;

inline may_die() {
  if
  :: atomic { deaths > 0 ->
       deaths--;
       dead[me] = true;
       asleep[me] = false;
       if
       :: lock == me -> lock = NONE; unfinished = true
       :: else
       fi;
       if /* any one of them */
       :: asleep[0] && (watched[0] & BIT(me)) -> asleep[0] = false
       :: asleep[1] && (watched[1] & BIT(me)) -> asleep[1] = false
       :: asleep[2] && (watched[2] & BIT(me)) -> asleep[2] = false
#if PUBLISHERS + RECEIVERS > 3
       :: asleep[3] && (watched[3] & BIT(me)) -> asleep[3] = false
#endif
       :: else
       fi;
       goto gone }
  :: true
  fi
}

/* Makes what is derived. */
inline count_unwoken() {
  unwoken = 0;
  i = 0;
  do
  :: i == THREADS -> break
  :: i < THREADS && sleeps[i] && !woken[i] -> unwoken++; i++
  :: i < THREADS && !(sleeps[i] && !woken[i]) -> i++
  od
}

inline enter() {
  atomic { lock == NONE -> lock = me }
  may_die();
  if
  :: unfinished -> atomic { count_unwoken(); unfinished = false }
     may_die()
  :: !unfinished
  fi;
  /* Sweeps the dead. */
  found = false;
  other = 0;
  do
  :: other == THREADS -> break
  :: other < THREADS && !(dead[other] && !swept[other]) -> other++
  :: other < THREADS && dead[other] && !swept[other] ->
     atomic { ready = ready + leased[other]; leased[other] = 0 }
     may_die();
     sleeps[other] = false;
     may_die();
     swept[other] = true;
     found = true;
     may_die();
     other++
  od;
  if
  :: found ->
#ifndef TRUSTING
     atomic {
       i = 0;
       do
       :: i == THREADS -> break
       :: i < THREADS -> woken[i] = false; i++
       od }
     may_die();
#endif
     atomic { count_unwoken() }
     may_die()
  :: !found
  fi
}

/* Chooses one that can go on, lets go of the lock, and wakes it. */
inline leave() {
  chosen = NONE;
  if
  :: unwoken > 0 ->
     atomic {
       i = 0; other = 0;
       do
       :: i == THREADS -> break
       :: i < THREADS ->
          if
          :: sleeps[i] && woken[i] -> other++
          :: sleeps[i] && !woken[i] && chosen == NONE -> chosen = i
          :: else
          fi;
          i++
       od;
       if
       :: ready <= other -> chosen = NONE
       :: else
       fi }
     may_die();
     if
     :: chosen != NONE ->
        woken[chosen] = true;
        may_die();
        wake_word[chosen] = 1 - wake_word[chosen];
        may_die();
        unwoken--;
        may_die()
     :: else
     fi
  :: unwoken == 0
  fi;
  lock = NONE;
  may_die();
  if
  :: chosen != NONE -> asleep[chosen] = false
  :: else
  fi
}

proctype Publisher(byte me) {
  byte jobs = 0, i = 0, other = 0, chosen = NONE;
  bool found = false;
  do
  :: jobs == JOBS -> break
  :: jobs < JOBS ->
     enter();
     atomic { ready++; published++ }
     may_die();
     leave();
     may_die();
     jobs++
  od;
gone:
  skip
}

proctype Receiver(byte me) {
  byte i = 0, other = 0, chosen = NONE, seen_word = 0;
  bool found = false, slept = false;
  do
  :: enter();
     if
     :: slept -> /* EndSleep */
        atomic {
          if
          :: sleeps[me] && !woken[me] -> unwoken--
          :: else
          fi;
          sleeps[me] = false; woken[me] = false; slept = false }
        may_die()
     :: !slept
     fi;
     if
     :: ready > 0 ->
        atomic { ready--; leased[me]++ }
        may_die();
        leave();
        may_die();
        enter();
        atomic { leased[me]--; done++ }
        may_die();
        leave()
     :: ready == 0 ->
        seen_word = wake_word[me];
        atomic {
          watched[me] = 0;
          other = 0;
          do
          :: other == THREADS -> break
          :: other < THREADS && (other == me || swept[other]) -> other++
          :: other < THREADS && other != me && !swept[other] -> watched[me] = watched[me] | BIT(other); other++
          od;
          found = false; other = 0;
          do
          :: other == THREADS -> break
          :: other < THREADS -> found = found || (dead[other] && !swept[other]); other++
          od }
        may_die();
        if
        :: found -> leave() /* somebody has ended meanwhile: look again */
        :: !found ->
           woken[me] = false;
           may_die();
           sleeps[me] = true;
           may_die();
           unwoken++;
           slept = true;
           may_die();
           leave();
           may_die();
           atomic { /* futex_waitv(2): each word is as it was */
             found = false; other = 0;
             do
             :: other == THREADS -> break
             :: other < THREADS -> found = found || (dead[other] && (watched[me] & BIT(other))); other++
             od;
             if
             :: !found && wake_word[me] == seen_word -> asleep[me] = true
             :: else
             fi;
             found = false; other = 0 }
           may_die();
           !asleep[me];
           may_die()
        fi
     fi
  od;
gone:
  skip
}

init {
  byte i = 0, left = 0;
  atomic {
    do
    :: i == THREADS -> break
    :: i < PUBLISHERS -> run Publisher(i); i++
    :: i >= PUBLISHERS && i < THREADS -> run Receiver(i); i++
    od
  }
  timeout;
  atomic {
    left = ready;
    i = 0;
    do
    :: i == THREADS -> break
    :: i < THREADS -> left = left + leased[i]; i++
    od;
    assert(published == done + left);
    i = 0;
    do
    :: i == THREADS -> break
    :: i < THREADS -> assert(!asleep[i] || left == 0); i++
    od
  }
}
