/* os/robust_lock: a priority-inheriting robust futex. Each locker may die at each step, and is then what the kernel makes
 * of it: exit_robust_list hands the word on, marked, and wakes; so does exit_pi_state for a holder that others wait for.
 *
 * Checked: at most one inside; who comes after a death inside is told; and nobody waits for ever for a lock that nobody
 * has (an invalid end state would be a waiter that sleeps).
 *
 * The word is its three parts: who (0: free), waiters, died. FUTEX_LOCK_PI is one step of the kernel's, under its lock: it
 * takes a word without an owner, marking that there are waiters, or joins the queue.
 */
#ifndef LOCKERS
#define LOCKERS 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef DEATHS
#define DEATHS 2
#endif

byte owner = 0;              /* the word: 1..LOCKERS */
bool waiters = false, died = false;
bool queued[LOCKERS + 1];    /* in the kernel's queue */
bool announced[LOCKERS + 1]; /* robust_list.list_op_pending is this word */
byte inside = 0;
bool broken = false;         /* what the lock guards was left half done */
byte deaths = DEATHS;

/* The kernel gives the word to the first in the queue (any: the model does not order it). */
inline hand_over() {
  if
  :: owner = 0; waiters = false;
     next = 1;
     do
     :: next <= LOCKERS && queued[next] -> break
     :: next <= LOCKERS && !queued[next] -> next++
     :: next > LOCKERS -> break
     od;
     if
     :: next <= LOCKERS ->
        owner = next; queued[next] = false;
        other = 1;
        do
        :: other <= LOCKERS -> waiters = waiters || queued[other]; other++
        :: else -> break
        od
     :: else
     fi;
     next = 0; other = 0
  fi
}

/* The end of a thread: out of the queue, and what it has, or had announced and got, goes on marked. */
inline die() {
  atomic {
    deaths--;
    queued[me] = false;
    if
    :: owner == me -> died = true; hand_over()
    :: else
    fi;
    if
    :: is_inside -> inside--; is_inside = false
    :: else
    fi;
    announced[me] = false;
    goto dead
  }
}

active [LOCKERS] proctype Locker() {
  byte me = _pid + 1, rounds = ROUNDS, next = 0, other = 0;
  bool is_inside = false, told = false;

again:
  do
  :: rounds == 0 -> goto dead
  :: rounds > 0 && deaths > 0 -> die()
  :: rounds > 0 ->
     rounds--;
     announced[me] = true;
     if
     :: deaths > 0 -> die()
     :: true
     fi;
     if /* the compare-exchange of the short way: the whole word is 0 */
     :: atomic { owner == 0 && !waiters && !died -> owner = me }
     :: atomic { !(owner == 0 && !waiters && !died) -> /* FUTEX_LOCK_PI */
          if
          :: owner == 0 -> owner = me
          :: else -> waiters = true; queued[me] = true
          fi }
        if
        :: owner == me
        :: deaths > 0 -> die()
        fi
     fi;
     atomic { is_inside = true; inside++; assert(inside == 1) }
     if
     :: deaths > 0 -> die()
     :: true
     fi;
     atomic { told = died; died = false }
     assert(!broken || told);
     broken = true; /* half done */
     if
     :: deaths > 0 -> die()
     :: true
     fi;
     broken = false;
     if
     :: deaths > 0 -> die()
     :: true
     fi;
     atomic { is_inside = false; inside-- }
     if
     :: atomic { owner == me && !waiters && !died -> owner = 0 }
     :: atomic { owner == me && (waiters || died) -> hand_over() } /* FUTEX_UNLOCK_PI */
     fi;
     if
     :: deaths > 0 -> die()
     :: true
     fi;
     announced[me] = false
  od;
dead:
  skip
}
