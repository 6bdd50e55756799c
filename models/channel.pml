/* ipc/channel_core: a ring of cells that senders and receivers claim in order, and two bells for those that sleep. Each
 * thread may die at each step; the kernel then marks its two life words and wakes on each the first waiter that watches it,
 * wakes one at the bell that it has announced, and lets the next one into the turnstile where it was the first waiter
 * (semaphore.pml has that one's steps; here it is a lock that the kernel frees).
 *
 * Checked: when nothing can go on any more, no receiver sleeps before a message, even one behind what a dead one has left, and
 * no sender before room, even such that a dead one has left; and no message is received twice.
 *
 * -DONE_LIFE has one life word for both sides. Then the kernel wakes one of the two first waiters; where that one dies as well,
 * the other sleeps before what the first dead one has left, and a receiver so before messages.
 */
#ifndef CELLS
#define CELLS 2
#endif
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef RECEIVERS
#define RECEIVERS 1
#endif
#ifndef SENDS
#define SENDS 2
#endif
#ifndef DEATHS
#define DEATHS 2
#endif

#define SENDS_OF(sender) (sender == SENDERS - 1 -> SENDS : 1) /* the last one goes on, the others send once */
#define THREADS (SENDERS + RECEIVERS)
#define SEND 0
#define RECEIVE 1
#define CLOSED 2 /* the word that tells of Close: what a sleeper has announced, and both sides' sleep on */
#define NONE 255

mtype = { EMPTY, WRITING, FULL, READING };

mtype state[CELLS];
byte turn[CELLS];
byte cell_owner[CELLS];
byte message[CELLS];
byte hint[2];            /* of each side */
bool dead[THREADS];
byte deaths = DEATHS;
byte pending[THREADS];   /* the bell that is announced */
bool bell[2];            /* somebody of this side is about to sleep, or sleeps */
byte first_waiter[2];    /* inside the side's turnstile */
bool asleep[2];          /* it sleeps, ... */
byte watched[2];         /* ... on the life of this one, too, ... */
byte slept_at[2];        /* ... at this position of the ring */
bool received[THREADS * SENDS + 1];

inline wake_bell(side) { asleep[side] = false }

inline ring(side) {
  if
  :: atomic { bell[side] -> bell[side] = false }
     may_die();
     wake_bell(side)
  :: !bell[side]
  fi
}

inline may_die() {
  if
  :: atomic { deaths > 0 ->
       deaths--;
       dead[me] = true;
       if
       :: first_waiter[SEND] == me -> first_waiter[SEND] = NONE; asleep[SEND] = false
       :: else
       fi;
       if
       :: first_waiter[RECEIVE] == me -> first_waiter[RECEIVE] = NONE; asleep[RECEIVE] = false
       :: else
       fi;
#ifdef ONE_LIFE
       if
       :: asleep[SEND] && watched[SEND] == me -> asleep[SEND] = false
       :: asleep[RECEIVE] && watched[RECEIVE] == me -> asleep[RECEIVE] = false
       :: !(asleep[SEND] && watched[SEND] == me) && !(asleep[RECEIVE] && watched[RECEIVE] == me)
       fi;
#else
       if
       :: watched[SEND] == me -> asleep[SEND] = false
       :: else
       fi;
       if
       :: watched[RECEIVE] == me -> asleep[RECEIVE] = false
       :: else
       fi;
#endif
       if
       :: pending[me] == SEND || pending[me] == RECEIVE -> wake_bell(pending[me])
       :: pending[me] == CLOSED -> /* one of them; this one is out of its queue */
          if
          :: asleep[SEND] -> asleep[SEND] = false
          :: else -> asleep[RECEIVE] = false
          fi
       :: else
       fi;
       pending[me] = NONE;
       goto gone }
  :: true
  fi
}

/* One try, which leaves `outcome`: 0 done, 1 blocked by cell `at` as it was seen. */
inline attempt(side) {
  position = hint[side];
  outcome = 2;
  do
  :: outcome < 2 -> break
  :: outcome == 2 ->
     at = position % CELLS;
     atomic { seen = state[at]; seen_turn = turn[at]; seen_owner = cell_owner[at] }
     if
     :: side == SEND && seen == EMPTY && seen_turn == position / CELLS ->
        pending[me] = RECEIVE;
        may_die();
        atomic {
          if
          :: state[at] == EMPTY && turn[at] == seen_turn -> state[at] = WRITING; cell_owner[at] = me; outcome = 0
          :: else
          fi }
        if
        :: outcome == 0 ->
           may_die();
           hint[SEND] = position + 1;
           pending[me] = NONE; /* while it rings the poll_fd it has announced the lock of that */
           may_die();
           pending[me] = RECEIVE;
           message[at] = me * SENDS + sends;
           may_die();
           state[at] = FULL;
           may_die();
           ring(RECEIVE);
           pending[me] = NONE
        :: else
        fi
     :: side == RECEIVE && seen == FULL && seen_turn == position / CELLS ->
        pending[me] = SEND;
        may_die();
        atomic {
          if
          :: state[at] == FULL && turn[at] == seen_turn -> state[at] = READING; cell_owner[at] = me; outcome = 0
          :: else
          fi }
        if
        :: outcome == 0 ->
           may_die();
           hint[RECEIVE] = position + 1;
           may_die();
           assert(!received[message[at]]);
           received[message[at]] = true;
           atomic { state[at] = EMPTY; turn[at] = seen_turn + 1 }
           may_die();
           ring(SEND);
           pending[me] = NONE
        :: else
        fi
     :: side == SEND && seen == FULL && seen_turn + 1 == position / CELLS -> seen_owner = NONE; outcome = 1
     :: side == RECEIVE && seen == EMPTY && seen_turn == position / CELLS -> seen_owner = NONE; outcome = 1
     :: (side == SEND && (seen == WRITING || seen == READING) && seen_turn + 1 == position / CELLS) ||
        (side == RECEIVE && seen == WRITING && seen_turn == position / CELLS) ||
        (side == RECEIVE && seen == READING && seen_turn + 1 == position / CELLS) ->
        if
        :: !dead[seen_owner] -> outcome = 1
        :: dead[seen_owner] ->
           pending[me] = SEND;
           may_die();
           atomic {
             if
             :: state[at] == seen && turn[at] == seen_turn && cell_owner[at] == seen_owner ->
                state[at] = EMPTY; turn[at] = seen_turn + 1; ended = true
             :: else
             fi }
           may_die();
           if
           :: ended -> ring(SEND)
           :: else
           fi;
           ended = false
        fi
     :: else -> /* others have been here */
        if
        :: hint[side] > position -> position = hint[side]
        :: hint[side] <= position -> position = position + 1
        fi
     fi
  od;
  pending[me] = NONE
}

inline operation(side) {
  attempt(side);
  if
  :: outcome == 0
  :: outcome == 1 ->
     atomic { first_waiter[side] == NONE -> first_waiter[side] = me }
     do
     :: bell[side] = true;
        may_die();
        attempt(side);
        if
        :: outcome == 0 -> break
        :: outcome == 1 ->
           pending[me] = CLOSED;
           atomic { /* futex_waitv(2) */
             if
             :: bell[side] && state[at] == seen && turn[at] == seen_turn &&
                (seen_owner == NONE || (cell_owner[at] == seen_owner && !dead[seen_owner])) ->
                asleep[side] = true; watched[side] = seen_owner;
                slept_at[side] = position
             :: else
             fi }
           may_die();
           !asleep[side]
        fi
     od;
     bell[side] = false;
     may_die();
     atomic { first_waiter[side] = NONE }
  fi
}

proctype Sender(byte me) {
  byte sends = 0, position = 0, at = 0, seen_turn = 0, seen_owner = NONE, outcome = 0;
  mtype seen = EMPTY;
  bool ended = false;
  do
  :: sends == SENDS_OF(me) -> break
  :: sends < SENDS_OF(me) -> operation(SEND); sends++; may_die()
  od;
gone:
  skip
}

proctype Receiver(byte me) {
  byte sends = 0, position = 0, at = 0, seen_turn = 0, seen_owner = NONE, outcome = 0;
  mtype seen = EMPTY;
  bool ended = false;
end:
  do
  :: operation(RECEIVE); may_die()
  od;
gone:
  skip
}

#define AT (i % CELLS)
#define TURN (i / CELLS)

/* At the end: whoever sleeps would be blocked again if it looked, from where it stands on. */
inline check_sleeper(side) {
  i = slept_at[side];
  do
  :: !asleep[side] -> break
  :: asleep[side] && (turn[AT] > TURN || (turn[AT] == TURN && ((side == SEND && state[AT] != EMPTY) ||
                                                               (side == RECEIVE && state[AT] == READING)))) ->
     i++ /* others have passed it */
  :: asleep[side] && side == SEND && (turn[AT] < TURN || (turn[AT] == TURN && state[AT] == EMPTY)) ->
     assert(turn[AT] < TURN && (state[AT] == FULL || state[AT] == EMPTY || !dead[cell_owner[AT]]));
     break
  :: asleep[side] && side == RECEIVE && turn[AT] == TURN && state[AT] == WRITING && dead[cell_owner[AT]] ->
     i++ /* no message, but none behind it may be kept */
  :: asleep[side] && side == RECEIVE &&
     (turn[AT] < TURN || (turn[AT] == TURN && (state[AT] == EMPTY || state[AT] == FULL ||
                                               (state[AT] == WRITING && !dead[cell_owner[AT]])))) ->
     assert(state[AT] != FULL || turn[AT] < TURN);
     break
  od
}

init {
  byte i = 0;
  atomic {
    do
    :: i == CELLS -> break
    :: i < CELLS -> state[i] = EMPTY; i++
    od;
    i = 0;
    do
    :: i == THREADS -> break
    :: i < THREADS -> pending[i] = NONE; i++
    od;
    first_waiter[SEND] = NONE; first_waiter[RECEIVE] = NONE;
    watched[SEND] = NONE; watched[RECEIVE] = NONE;
    i = 0;
    do
    :: i == THREADS -> break
    :: i < SENDERS -> run Sender(i); i++
    :: i >= SENDERS && i < THREADS -> run Receiver(i); i++
    od
  }
  timeout;
  atomic {
    check_sleeper(RECEIVE);
    check_sleeper(SEND)
  }
}
