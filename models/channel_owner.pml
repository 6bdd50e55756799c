/* ipc/channel_owners: one side of a channel, the senders', which is nobody's or belongs to one of them, and a receiver that
 * sleeps. An owner's stores wait in its processor's buffer, in their order, until a barrier, a compare-exchange, a system call
 * or chance brings them to memory; nobody else sees them before. Each sender may die at each step; what it has stored reaches
 * memory, and the kernel then marks the word that names it and wakes one of those who wait there, one at the word that it has
 * announced, and the receiver where that watches its life.
 *
 * Checked: no owner stores into a cell that somebody else has filled, and when nothing can go on any more, no sender that lives
 * waits for an owner, and the receiver has received all there is.
 *
 * -DNO_BARRIER is without the barriers, -DNO_STEP lets a sender be alone at once, without another step by compare-exchange,
 * -DNO_RECHECK sleeps without another look at the owner word (which takes -DSENDS=4 to be seen), -DNO_WATCH has the receiver
 * sleep without the owner's life.
 */
#ifndef SENDERS
#define SENDERS 2
#endif
#ifndef SENDS
#define SENDS 3 /* of the first sender; the others send once */
#endif
#ifndef OTHERS_SEND
#define OTHERS_SEND 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif

#define SENDS_OF(sender) (sender == 0 -> SENDS : OTHERS_SEND)
#define CELLS (SENDS + (SENDERS - 1) * OTHERS_SEND)
#define NONE 15
#define BELL 14 /* announced: the receivers' bell; else the busy word of a slot */

/* The owner word: slot, alone, wanted, and how often the side has been taken. */
#define WORD(slot, flags, count) ((count) * 64 + (flags) * 16 + (slot))
#define SLOT(word) ((word) % 16)
#define COUNT(word) ((word) / 64)
#define FLAGS(word) ((word) / 16 % 4)
#define ALONE 1
#define WANTED 2
#define IS_WANTED(word) (FLAGS(word) >= WANTED)

/* A busy word names its sender or not, and has a mark of sleepers or not. */
#define IDLE 0
#define BUSY 1
#define BUSY_AND_WAITED_FOR 2

#define FILL 8 /* in a buffer: of the cell; smaller ones are values of the busy word */
#define ROOM 6

short owner = NONE;
byte busy[SENDERS];
bool filled[CELLS];
byte buffer[SENDERS * ROOM];
byte buffered[SENDERS];
byte pending[SENDERS];
byte waits_for[SENDERS]; /* asleep, at the busy word of this one */
bool dead[SENDERS];
byte deaths = DEATHS;
bool bell;
bool receiver_sleeps;
byte watched = NONE;
byte received; /* the first so many cells */

inline flush(from) {
  d_step {
    if
    :: buffer[from * ROOM] >= FILL ->
       assert(!filled[buffer[from * ROOM] - FILL]);
       filled[buffer[from * ROOM] - FILL] = true
    :: else -> busy[from] = buffer[from * ROOM]
    fi;
    k = 1;
    do
    :: k < buffered[from] -> buffer[from * ROOM + k - 1] = buffer[from * ROOM + k]; k++
    :: else -> break
    od;
    buffered[from]--;
    buffer[from * ROOM + buffered[from]] = 0;
    k = 0
  }
}

inline flush_all(from) {
  do
  :: buffered[from] > 0 -> flush(from)
  :: buffered[from] == 0 -> break
  od
}

inline store(what) {
  d_step {
    buffer[me * ROOM + buffered[me]] = what;
    buffered[me]++
  }
}

inline wake_one(at) {
  if
  :: waits_for[0] == at -> waits_for[0] = NONE
  :: waits_for[1] == at -> waits_for[1] = NONE
#if SENDERS > 2
  :: waits_for[2] == at -> waits_for[2] = NONE
  :: waits_for[0] != at && waits_for[1] != at && waits_for[2] != at
#else
  :: waits_for[0] != at && waits_for[1] != at
#endif
  fi
}

inline wake_all(at) {
  atomic {
    flush_all(me);
    j = 0;
    do
    :: j == SENDERS -> break
    :: j < SENDERS ->
       if
       :: waits_for[j] == at -> waits_for[j] = NONE
       :: else
       fi;
       j++
    od;
    j = 0
  }
}

inline may_die() {
  if
  :: atomic { deaths > 0 ->
       deaths--;
       flush_all(me);
       dead[me] = true;
       if
       :: watched == me -> receiver_sleeps = false
       :: else
       fi;
       if
       :: busy[me] == BUSY_AND_WAITED_FOR -> busy[me] = IDLE; wake_one(me)
       :: else -> busy[me] = IDLE
       fi;
       if
       :: pending[me] == BELL -> receiver_sleeps = false
       :: pending[me] < SENDERS && busy[pending[me]] == IDLE -> wake_one(pending[me])
       :: else
       fi;
       goto gone }
  :: true
  fi
}

inline look_for_an_empty_cell() {
  d_step {
    at = 0;
    do
    :: filled[at] -> at++
    :: else -> break
    od;
    /* what this one has in its buffer lies behind */
    j = 0;
    do
    :: j < buffered[me] ->
       if
       :: buffer[me * ROOM + j] >= FILL -> at = buffer[me * ROOM + j] - FILL + 1
       :: else
       fi;
       j++
    :: else -> break
    od;
    j = 0
  }
}

inline ring() {
  if
  :: bell ->
     atomic { flush_all(me); bell = false }
     may_die();
     receiver_sleeps = false
  :: !bell
  fi
}

inline end_owners_step() {
  store(IDLE);
  may_die();
  if
  :: owner != alone -> wake_all(me)
  :: owner == alone
  fi;
  pending[me] = NONE
}

inline take_back() {
  do
  :: seen = owner;
     if
     :: SLOT(seen) == NONE -> break
     :: SLOT(seen) == me
     :: else ->
        atomic { /* a compare-exchange */
          if
          :: owner == seen && !IS_WANTED(seen) ->
             flush_all(me);
             seen = WORD(SLOT(seen), FLAGS(seen) + WANTED, COUNT(seen));
             owner = seen
          :: owner == seen && IS_WANTED(seen)
          :: owner != seen -> goto changed
          fi }
        may_die();
#ifndef NO_BARRIER
        atomic {
          j = 0;
          do
          :: j == SENDERS -> break
          :: j < SENDERS -> flush_all(j); j++
          od;
          j = 0
        }
#endif
        pending[me] = SLOT(seen);
        may_die();
        do
        :: atomic {
             if
             :: busy[SLOT(seen)] == IDLE || dead[SLOT(seen)] -> break
             :: else -> busy[SLOT(seen)] = BUSY_AND_WAITED_FOR
             fi }
           may_die();
#ifndef NO_RECHECK
           if
           :: owner != seen -> break
           :: owner == seen
           fi;
#endif
           atomic { /* futex_waitv(2) */
             if
             :: busy[SLOT(seen)] == BUSY_AND_WAITED_FOR -> waits_for[me] = SLOT(seen)
             :: else
             fi }
           waits_for[me] == NONE;
           may_die()
        od;
     fi;
     wake_all(SLOT(seen));
     may_die();
     pending[me] = NONE;
     atomic { /* a compare-exchange */
       flush_all(me);
       if
       :: owner == seen -> owner = WORD(NONE, 0, COUNT(seen))
       :: else
       fi }
changed:
     may_die()
  od
}

proctype Sender(byte me) {
  byte sends = 0, at = 0, j = 0, k = 0;
  short alone = -1, seen = 0;
  bool is_sent = false;
  do
  :: sends == SENDS_OF(me) -> break
  :: sends < SENDS_OF(me) ->
     is_sent = false;
     if
     :: owner == alone ->
        pending[me] = me;
        store(BUSY);
        may_die();
        if
        :: owner == alone ->
           look_for_an_empty_cell();
           store(FILL + at);
           is_sent = true;
           may_die();
           ring()
        :: owner != alone
        fi;
        end_owners_step()
     :: owner != alone
     fi;
     may_die();
     do
     :: is_sent -> break
     :: !is_sent ->
        look_for_an_empty_cell();
        seen = owner;
        if
        :: SLOT(seen) == NONE || (SLOT(seen) == me && !IS_WANTED(seen)) ->
           pending[me] = BELL;
           may_die();
           atomic { /* a compare-exchange */
             flush_all(me);
             if
             :: !filled[at] -> filled[at] = true; is_sent = true
             :: filled[at]
             fi }
           may_die();
           if
           :: is_sent -> ring()
           :: else
           fi;
           pending[me] = NONE;
           if
           :: is_sent ->
              seen = owner;
              alone = -1;
              if
              :: SLOT(seen) == me && !IS_WANTED(seen) ->
                 atomic {
                   if
                   :: owner == seen -> alone = WORD(me, ALONE, COUNT(seen)); owner = alone
                   :: else
                   fi }
              :: SLOT(seen) == NONE && COUNT(seen) < 3 ->
                 atomic {
                   if
                   :: owner == seen ->
#ifdef NO_STEP
                      alone = WORD(me, ALONE, COUNT(seen) + 1);
                      owner = alone
#else
                      owner = WORD(me, 0, COUNT(seen) + 1)
#endif
                   :: else
                   fi }
              :: true /* it does not want to */
              fi
           :: else
           fi
        :: else -> take_back()
        fi;
        may_die()
     od;
     sends++;
     at = 0; seen = 0
  od;
gone:
  skip
}

/* What is in a buffer may reach memory at any time. */
proctype Processor(byte whose) {
  byte k = 0;
end:
  do
  :: atomic { buffered[whose] > 0 -> flush(whose) }
  od
}

proctype Receiver() {
  byte j = 0, k = 0;
  short seen = 0;
end:
  do
  :: received < CELLS && filled[received] -> received++
  :: received == CELLS -> break
  :: received < CELLS && !filled[received] ->
     bell = true;
     seen = owner;
     if
     :: SLOT(seen) != NONE && !dead[SLOT(seen)] ->
#ifndef NO_BARRIER
        atomic {
          do
          :: j == SENDERS -> break
          :: j < SENDERS -> flush_all(j); j++
          od;
          j = 0
        }
#else
        skip
#endif
     :: else -> seen = NONE
     fi;
     if
     :: filled[received]
     :: !filled[received] ->
        atomic { /* futex_waitv(2) */
          if
#ifndef NO_WATCH
          :: bell && !filled[received] && (SLOT(seen) == NONE || !dead[SLOT(seen)]) ->
             watched = SLOT(seen);
#else
          :: bell && !filled[received] ->
#endif
             receiver_sleeps = true
          :: else
          fi }
        !receiver_sleeps;
        watched = NONE
     fi;
     bell = false;
     seen = 0
  od
}

init {
  byte i = 0;
  atomic {
    do
    :: i == SENDERS -> break
    :: i < SENDERS ->
       pending[i] = NONE;
       waits_for[i] = NONE;
       i++
    od;
    i = 0;
    do
    :: i == SENDERS -> break
    :: i < SENDERS -> run Sender(i); run Processor(i); i++
    od;
    run Receiver()
  }
  timeout;
  atomic {
    i = 0;
    do
    :: i == SENDERS -> break
    :: i < SENDERS -> assert(waits_for[i] == NONE || dead[i]); i++
    od;
    assert(received == CELLS || !filled[received])
  }
}
