/*
 * The silent bell: writers, triggers, listeners and their server, as spin checks them. README.md says how to read this,
 * what it leaves out, and how to run it; check.py has the list of the runs and what is expected of each.
 *
 * The property. Whenever a heartbeat looks at the inbox while the upload sleeps, every pending order that it finds is
 * announced already: a notification is on its way or not acted upon yet, or the row was found locked and has a time at
 * which it is looked at again. Or a fault explains it: the LISTEN session is lost and that is not noticed yet; the
 * triggers were away and the installation has not rung yet; a stranger has had the silence lock and no heartbeat has
 * seen him there. It is the assertion in `beat`, and a heartbeat may come at any moment. That orders are found at all,
 * with no heartbeat, is the claim `found` at the end; that the listener comes to rest is the claim `rests`.
 *
 * Names in comments, such as bell.MARK_SQL, say which piece of the program a step stands for; a test looks them up.
 */

/* Bounds. A fault happens at most so many times, at any moments. */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef ORDERS          /* transactions of each writer, one after the other */
#define ORDERS 1
#endif
#ifndef LISTENERS       /* the second stands by */
#define LISTENERS 1
#endif
#ifndef KILLS           /* a listener's process dies and is started again */
#define KILLS 0
#endif
#ifndef LOSSES          /* a work session is lost; the server notices later than the listener, or sooner */
#define LOSSES 0
#endif
#ifndef DEAD_LINKS      /* a LISTEN session is lost, with all that rings meanwhile */
#define DEAD_LINKS 0
#endif
#ifndef DEAFNESSES      /* LISTEN is not heard at first, and heard later */
#define DEAFNESSES 0
#endif
#ifndef ERRORS          /* a job fails in the middle */
#define ERRORS 0
#endif
#ifndef SWITCHES        /* an operator says that no bell may wake the upload, or that it may again */
#define SWITCHES 0
#endif

/* FOREIGN      a writer may have its id, from another table, long before it writes; and questions may be patient
   SAVEPOINTS   a writer may undo its order, with the bell, and write it again in the same transaction
   HANG         a writer may stay open for ever
   ROW_LOCKS    somebody else may lock a pending row for a while, or deal with it
   REINSTALL    the bell is rolled back and installed again
   STRANGER     a session that is no listener's may take the silence lock, and give it back
   NO_BEATS     there is no heartbeat: what is found is found without it
   All other switches make the protocol wrong. */

#define NOBODY   0      /* of a lock; listeners are 1 and up */
#define GHOST    100    /* a work session whose listener has lost it, and that the server still has */
#define OUTSIDER 101    /* the stranger */
#define BIT(w)   (1 << (w))


/* ---- The server ---------------------------------------------------------------------------------------------- */

byte K = NOBODY;        /* locks.SILENCE_KEY: who holds it */
byte L = NOBODY;        /* locks.LEADER_KEY: who holds it */
byte lease = NOBODY;    /* leader.LEASE_SQL: whose lease runs */
bool late;              /* the ghost's listener has asked for K and died; the server has yet to get to that */

byte open;              /* the writers whose transaction has an id and has not ended: a bit each */
byte writing;           /* those of them that hold a lock on orders_inbox: pg_locks */
byte pending;           /* the writers of whom a committed order is pending, for any snapshot taken now */
byte locked;            /* those of them whose row somebody else has locked */
byte ringing;           /* commits with a NOTIFY that no session has received yet */
bool bodies = true;     /* the trigger functions have their bodies; else they do nothing */
bool gap;               /* they had none, and the installation has not rung yet */
bool muted;             /* the stranger has had K, and no heartbeat has seen it, nor a settle begun since */
bool switched_off;      /* what the tables say: no bell may wake the upload */

/* Transaction ids are not numbers here. Each listener's mark X is the set of the ids below it that have not ended, and
   pg_snapshot_xmin > X says that it is empty. pg_snapshot_xmax needs their order too, and the newest that has ended. */
#ifdef XMAX
byte rank[WRITERS];     /* place among the open ids, oldest first; 0: has none */
byte running;           /* how many are open */
byte below;             /* how many of them are older than the newest id that has ended */
#endif

mtype = { STANDBY, AWAKE, SETTLING, ASLEEP, RESTING };  /* events.Phase */
mtype = { idle, begin_epoch, hold, check, claim, release, probe, mark, look_at_locks, ask,
          let_go, beat, silence, ended, failed };       /* events.Job, each in its steps */

typedef Listener {
    mtype phase = STANDBY;
    mtype job = idle;
    bool silent;        /* bell.Silence: it thinks that it holds K */
    bool by_lease;      /* it leads by the lease */
    bool dead;          /* its work session is lost, and it has not noticed, or is just noticing */
    bool wants;         /* events.RunUpload.silence: as it was when the job began */
    bool silence_due;   /* state.Upload, as the next three: take or give back K before anything else */
    bool rung;          /* a bell came while a job was under way */
    bool rethink;       /* something changed while a job was under way */
    bool reconnected;   /* and that was the LISTEN session */
    bool listening;     /* state.State, as the next two: LISTEN is in force, it thinks */
    bool deaf;          /* but not heard */
    bool off;           /* it has read that no bell may wake the upload */
    bool ears;          /* a LISTEN session that the server notifies */
    bool bell;          /* a notification has arrived on it and is not drained */
    bool lost;          /* that session is lost, and it has not noticed */
    bool marked;        /* X is taken: */
    byte older;         /* the ids up to X that have not ended */
    byte known;         /* rows that were found locked, and have a time of their own */
    byte found;         /* events.Asked: what is pending */
    bool quiet;         /* and that nobody silent is left */
    mtype next          /* where the end of the job under way leads, if nothing else has happened; 0: nowhere */
#ifdef XMAX
    ; bool next_id      /* X is an id that nobody has yet */
#endif
#ifdef START_ASLEEP
    ; bool fresh
#endif
};
Listener listener[LISTENERS + 1];

#define me      listener[p]
#define hearing (me.listening && !me.deaf)      /* state.State.hearing */
#define rests   (me.off || !hearing)            /* state.State.rests_between_passes */
#ifdef LEASE_SLEEPS
#define leads   (!me.by_lease || lease == p)
#else
#define leads   (!me.by_lease || (lease == p && !hearing))      /* leader.renew_lease */
#endif
#define able    (!me.dead && leads)

byte kills = KILLS, losses = LOSSES, dead_links = DEAD_LINKS, deafnesses = DEAFNESSES, errors = ERRORS;

inline take_id(w) {
#ifdef XMAX
    if :: rank[w] == 0 -> running++; rank[w] = running :: else fi;
    i = 1;
    do
    :: i <= LISTENERS ->
        if
        :: listener[i].next_id -> listener[i].next_id = false; listener[i].older = listener[i].older | BIT(w)
        :: else
        fi;
        i++
    :: else -> i = 0; break
    od;
#endif
    open = open | BIT(w)
}

inline end_id(w) {
#ifdef XMAX
    if :: rank[w] > below -> below = rank[w] - 1 :: else -> below-- fi;
    do
    :: i < WRITERS -> if :: rank[i] > rank[w] -> rank[i] = rank[i] - 1 :: else fi; i++
    :: else -> i = 0; break
    od;
    rank[w] = 0; running--;
#endif
    open = open & ~BIT(w); writing = writing & ~BIT(w);
    i = 1;
    do
    :: i <= LISTENERS -> listener[i].older = listener[i].older & open; i++
    :: else -> i = 0; break
    od
}

/* The listener's own transaction takes an id and ends. */
inline spend_id() {
#ifdef XMAX
    below = running; i = 1;
    do
    :: i <= LISTENERS -> listener[i].next_id = false; i++
    :: else -> i = 0; break
    od
#else
    skip
#endif
}

inline notify() {
    i = 1;
    do
    :: i <= LISTENERS -> if :: listener[i].ears -> listener[i].bell = true :: else fi; i++
    :: else -> i = 0; break
    od
}


/* ---- Writers, and the trigger in their transactions ----------------------------------------------------------- */

proctype Writer(byte w)
{
    byte n, i;
    bool ring, undone, memory;
    do
    :: n < ORDERS ->
        n++;
#ifdef FOREIGN
        if
        :: atomic { true -> take_id(w); printf("writer %d: has an id, from another table\n", w) }
        :: true
        fi;
#endif
write:
#ifndef TRIGGER_FIRST
        atomic { take_id(w); writing = writing | BIT(w); printf("writer %d: has an id, and writes its order\n", w) };
#endif
        /* sql/003_notify.up.sql, ring_for_inserted_orders: first the silence lock, then the leader's. */
        if
        :: atomic { memory -> printf("writer %d: has rung before, and asks no more\n", w) }
        :: atomic { !memory && !bodies -> printf("writer %d: its trigger does nothing\n", w) }
        :: atomic { !memory && bodies && K != NOBODY -> printf("writer %d: is silenced\n", w) }
        :: atomic { !memory && bodies && K == NOBODY -> printf("writer %d: finds the silence lock free\n", w) };
#ifdef NO_LEADER_LOCK
            ring = true
#else
            if
            :: atomic { L == NOBODY -> printf("writer %d: finds that nobody leads, and is silent\n", w) }
            :: atomic { L != NOBODY -> ring = true; printf("writer %d: will ring\n", w) }
            fi
#endif
        fi;
#ifdef TRIGGER_FIRST
        atomic { take_id(w); writing = writing | BIT(w); printf("writer %d: has an id, and writes its order\n", w) };
#endif
#ifdef MEMO
        memory = ring;
#endif
        if
#ifdef SAVEPOINTS
        :: atomic { !undone -> undone = true; ring = false; printf("writer %d: undoes that to a savepoint\n", w) };
            goto write
#endif
#ifdef HANG
        :: atomic { true -> printf("writer %d: stays open for ever\n", w) };
            break
#endif
        :: atomic { true -> end_id(w); ring = false; printf("writer %d: rolls back\n", w) }
#ifdef REPLICA
        :: atomic { true -> end_id(w); ringing = ringing + ring; printf("writer %d: commits, not yet visible\n", w) };
            atomic { pending = pending | BIT(w); printf("writer %d: its order is visible\n", w) }
#else
        :: atomic { true ->
            end_id(w); pending = pending | BIT(w); ringing = ringing + ring; printf("writer %d: commits\n", w) }
#endif
            if
            :: atomic { ring -> ringing--; ring = false; notify(); printf("writer %d: its bell arrives\n", w) }
            :: !ring
            fi
        fi;
        undone = false; memory = false
    :: else -> break
    od
}


/* ---- The listener's decisions: transitions.py ------------------------------------------------------------------ */

/* transitions.wake */
inline wake() { me.phase = AWAKE; me.rung = false; me.marked = false; me.older = 0 }

/* phases.rest */
inline rest() { me.phase = RESTING; me.rung = false; me.marked = false; me.older = 0; me.silence_due = true }

/* phases.resume: after a start or reconnect always by way of a look */
inline resume() {
    if
    :: rests && !me.reconnected -> rest()
    :: else -> wake()
    fi;
    me.reconnected = false
}

/* phases.changed */
inline changed(by_link) {
    if
    :: me.phase == STANDBY
#ifdef FORGETS_RECONNECT
    :: me.phase != STANDBY && me.job != idle
#else
    :: me.phase != STANDBY && me.job != idle -> me.rethink = true; me.reconnected = by_link
#endif
    :: me.phase != STANDBY && me.job == idle -> me.reconnected = by_link; resume()
    fi
}

/* transitions._rang: AWAKE looks again before it sleeps; RESTING would not act on it */
inline rang() {
    if
    :: (me.phase == ASLEEP || me.phase == SETTLING) && me.job == idle -> wake()
#ifdef FORGETS_RING
    :: (me.phase == ASLEEP || me.phase == SETTLING) && me.job != idle
#else
    :: (me.phase == ASLEEP || me.phase == SETTLING) && me.job != idle -> me.rung = true
#endif
    :: else
    fi
}

/* transitions._session_lost, work.WorkSession._drop */
inline session_lost() {
    me.phase = STANDBY; me.job = idle; me.next = 0; me.rethink = false; me.rung = false; me.reconnected = false;
    me.silence_due = false; me.wants = false; me.marked = false; me.older = 0; me.found = 0; me.quiet = false;
    me.known = 0; me.silent = false; me.by_lease = false; me.dead = false
}

/* The end of a work session, as the server has it: what it held is held for a while, and what was sent is served. */
inline haunt() {
    if
    :: (me.job == hold || me.job == silence) && me.wants && !me.silent -> late = true
    :: else
    fi;
    if :: L == p -> L = GHOST :: else fi;
    if :: K == p -> K = GHOST :: else fi
}

/* bell.Silence.keep: refused, it works on without; so is it by a writer that asks in this very microsecond */
inline be_silent() {
    if
    :: me.wants && !me.silent && K == NOBODY ->
        K = p; me.silent = true; printf("listener %d: takes the silence lock\n", p)
    :: me.wants && !me.silent -> printf("listener %d: is refused the silence lock\n", p)
    :: !me.wants && me.silent -> give_back()
    :: me.wants == me.silent
    fi;
    me.wants = false
}

/* bell.release_silence */
inline give_back() {
    assert(K == p); K = NOBODY; me.silent = false; printf("listener %d: releases the silence lock\n", p)
}


/* ---- The listener's jobs: schedule.py starts them, work.py and bell.py do them ---------------------------------- */

#if defined(MARK_FIRST) || defined(ASK_UNDER_LOCK)
#define SETTLE_BEGINS mark
#else
#define SETTLE_BEGINS release
#endif
#ifdef NO_PROBE
#define AFTER_RELEASE mark
#else
#define AFTER_RELEASE probe
#endif
#ifdef MARK_FIRST
#define AFTER_PROBE ask
#define AFTER_MARK  release
#else
#define AFTER_PROBE mark
#define AFTER_MARK  ask
#endif

/* transitions._asked */
inline decide() {
    printf("listener %d: asks; pending: %d, open up to X: %d\n", p, me.found, me.older);
    me.job = ended;
    if
    :: me.found != 0 -> me.next = AWAKE
#ifdef ASK_UNDER_LOCK
    :: me.found == 0 && me.quiet -> me.job = let_go
#else
    :: me.found == 0 && me.quiet -> me.next = ASLEEP
#endif
    :: else
    fi;
    me.found = 0; me.quiet = false
}

/* The job's statements are done; the loop will read in events.Asked, Passed or Beaten what that means. */
#define answer(where) me.next = where; me.job = ended

inline fall_asleep() {
    me.phase = ASLEEP; me.marked = false; me.older = 0; printf("listener %d: sleeps\n", p);
#ifdef DRAIN_LAST
    me.bell = false
#endif
}

proctype Work(byte p)
{
    byte i;
end:
    do
    /* leader.lead. One that is refused tries again in a second: nothing has changed. */
#ifdef NO_LEADER_LOCK
    :: atomic { me.phase == STANDBY && me.job == idle && hearing -> me.job = begin_epoch }
#else
    :: atomic { me.phase == STANDBY && me.job == idle && hearing && L == NOBODY ->
        L = p; me.job = begin_epoch; printf("listener %d: takes the leader's lock\n", p) }
#endif
    :: atomic { me.job == begin_epoch && !me.dead ->                            /* leader.begin_epoch */
        if
        :: lease == NOBODY || lease == p -> lease = NOBODY; wake(); printf("listener %d: leads\n", p)
#ifdef START_ASLEEP
            ; me.fresh = true
#endif
        :: else -> L = NOBODY
        fi;
        me.job = idle; me.rethink = false }
    :: atomic { me.phase == STANDBY && me.job == idle && me.listening && me.deaf && L == NOBODY &&
                (lease == NOBODY || lease == p) ->                              /* leader.begin_epoch_by_lease */
        lease = p; me.by_lease = true; wake(); printf("listener %d: is deaf, and leads by a lease\n", p) }
    :: atomic { me.job == idle && !me.dead && !leads ->                         /* leader.renew_lease */
        me.dead = true }

    /* The pass: work.WorkSession._pass. */
#ifdef START_ASLEEP
    :: atomic { me.phase == AWAKE && me.job == idle && me.fresh && pending == 0 -> me.fresh = false; fall_asleep() }
#endif
    :: atomic { me.phase == AWAKE && me.job == idle && !me.silence_due && able ->
#ifdef START_ASLEEP
        me.fresh = false;
#endif
        me.job = hold; me.wants = hearing }
    :: atomic { me.job == hold && !me.dead -> be_silent(); me.known = 0; me.job = check }
    :: atomic { me.job == check && !me.dead ->                                  /* store.inbox.inbox_has_due */
        if
        :: pending != 0 -> me.job = claim
        :: else -> answer(SETTLING); printf("listener %d: sees no order\n", p)
        fi }
    :: atomic { me.job == claim && !me.dead ->                                  /* store.inbox.claim_due_rows */
        pending = pending & locked; me.known = pending; spend_id(); answer(SETTLING);
        printf("listener %d: claims what it sees\n", p) }

    /* The settle: work.WorkSession._settle, and bell.py. */
    :: atomic { me.phase == SETTLING && me.job == idle && !me.marked && able -> me.job = SETTLE_BEGINS }
    :: atomic { me.phase == SETTLING && me.job == idle && me.marked && able -> me.job = ask }
    :: atomic { me.job == release && !me.dead ->                                /* bell.release_silence */
        if :: me.silent -> give_back() :: else fi;
#ifdef NO_SETTLE
        answer(ASLEEP)
#else
        me.job = AFTER_RELEASE
#endif
      }
    :: atomic { me.job == probe && !me.dead ->                                  /* bell.PROBE_SQL */
        if
        :: K != NOBODY -> answer(AWAKE); printf("listener %d: somebody else silences\n", p)
        :: else -> me.job = AFTER_PROBE; printf("listener %d: nobody else silences\n", p)
        fi }
    :: atomic { me.job == mark && !me.dead ->                                   /* bell.MARK_SQL */
#ifdef XMAX
        me.older = 0; me.next_id = false;
        do
        :: i < WRITERS ->
#ifdef OR_EQUAL
            if :: rank[i] > 0 && rank[i] <= below -> me.older = me.older | BIT(i) :: else fi;
#else
            if :: rank[i] > 0 && rank[i] <= below + 1 -> me.older = me.older | BIT(i) :: else fi;
#endif
            i++
        :: else -> i = 0; break
        od;
#ifndef OR_EQUAL
        me.next_id = (below + 1 > running);
#endif
#else
        me.older = open; spend_id();
#endif
        me.marked = true; me.job = AFTER_MARK;
        if :: K == NOBODY -> muted = false :: else fi;
        printf("listener %d: takes its mark X; up to it are open: %d\n", p, me.older) }
#ifdef FOREIGN
    :: atomic { me.phase == SETTLING && me.job == idle && me.marked && able -> me.job = look_at_locks }
    :: atomic { me.job == look_at_locks && !me.dead ->                          /* bell.OLDER_WRITERS_SQL */
#ifdef LOCKS_LAST
        me.found = pending & ~me.known; me.job = let_go }
    :: atomic { me.job == let_go && !me.dead -> me.quiet = ((me.older & writing) == 0); decide() }
#else
        me.quiet = ((me.older & writing) == 0); me.job = ask;
        printf("listener %d: asks who up to X has locked the inbox; nobody: %d\n", p, me.quiet) }
#endif
#endif
#ifdef LOOK_THEN_XMIN
    :: atomic { me.job == ask && !me.dead -> me.found = pending & ~me.known; me.job = let_go }
    :: atomic { me.job == let_go && !me.dead -> me.quiet = (me.older == 0); decide() }
#elif defined(XMIN_THEN_LOOK)
    :: atomic { me.job == ask && !me.dead -> me.quiet = (me.older == 0); me.job = let_go }
    :: atomic { me.job == let_go && !me.dead -> me.found = pending & ~me.known; decide() }
#else
    :: atomic { me.job == ask && !me.dead ->                                    /* bell.ASK_SQL */
#ifdef CLAIM_AS_LOOK
        me.found = pending & ~locked;
#else
        me.found = pending & ~me.known;
#endif
#ifdef XMAX
        me.quiet = (me.older == 0 && !me.next_id);
#else
        me.quiet = me.quiet || me.older == 0;
#endif
        decide() }
#endif
#ifdef ASK_UNDER_LOCK
    :: atomic { me.job == let_go && !me.dead -> if :: me.silent -> give_back() :: else fi; answer(ASLEEP) }
#endif
    /* schedule._heeds_retries: rows that were locked have a time of their own */
    :: atomic { (me.phase == ASLEEP || me.phase == SETTLING) && me.job == idle && me.known != 0 && able -> wake() }

    /* Rest: the silence lock is held, unless nobody would hear the bell. */
    :: atomic { (me.phase == RESTING || me.phase == AWAKE) && me.job == idle && me.silence_due && able ->
        me.silence_due = false; me.job = silence; me.wants = hearing }
    :: atomic { me.job == silence && !me.dead -> be_silent(); answer(0) }
    :: atomic { me.phase == RESTING && me.job == idle && !me.silence_due && !rests && able -> wake() }

#ifndef NO_BEATS
    /* The heartbeat: store.progress.beat, transitions._beaten. */
    :: atomic { me.phase != STANDBY && me.job == idle && able -> me.job = beat }
    :: atomic { me.job == beat && !me.dead ->
        answer(0);
        if
        :: me.phase == ASLEEP && pending != 0 ->
            printf("listener %d: a heartbeat finds an order\n", p);
            assert((pending & ~me.known) == 0 || me.bell || me.rung || ringing > 0 || me.lost || me.rethink || gap
#ifndef UNSEEN_STRANGER
                   || muted
#endif
                  );
            me.next = AWAKE
        :: else
        fi;
        if
        :: K != NOBODY && K != p -> muted = false; printf("listener %d: a heartbeat finds a stranger\n", p);
#ifndef TRUSTS_MUTED
            if :: me.phase == ASLEEP || me.phase == SETTLING -> me.next = AWAKE :: else fi
#endif
        :: else
        fi }
#endif

    /* transitions._job_ended: what else has happened while the job was under way comes first */
    :: atomic { me.job == ended ->
        me.job = idle;
        if
        :: me.rethink -> me.rethink = false; resume()
        :: !me.rethink && (me.rung || me.next == AWAKE) -> wake()
        :: !me.rethink && !me.rung && me.next == ASLEEP -> fall_asleep()
        :: !me.rethink && !me.rung && me.next == SETTLING ->                    /* transitions._passed */
            if
            :: rests -> rest()
#ifdef SKIP_SETTLE
            :: !rests && !me.silent -> fall_asleep()
            :: !rests && me.silent -> me.phase = SETTLING
#else
            :: else -> me.phase = SETTLING
#endif
            fi
        :: else
        fi;
        me.next = 0 }

    /* Faults. */
    :: atomic { me.dead -> session_lost(); printf("listener %d: has no work session any more\n", p) }
    :: atomic { losses > 0 && me.phase != STANDBY && !me.dead ->
        losses--; haunt(); me.dead = true; printf("listener %d: its work session is lost\n", p) }
    :: atomic { kills > 0 ->
        kills--;
        if :: !me.dead -> haunt() :: else fi;
        if :: lease == p -> lease = GHOST :: else fi;
        session_lost(); me.listening = false; me.ears = false; me.bell = false; me.lost = false; me.deaf = false;
        me.off = false; printf("listener %d: is killed\n", p) }
    :: atomic { errors > 0 && !me.dead && me.phase != STANDBY &&
                (me.job == check || me.job == claim || me.job == probe || me.job == mark || me.job == look_at_locks
                 || me.job == ask || me.job == beat || me.job == idle) ->       /* idle: the work session's ping */
        errors--; me.found = 0; me.quiet = false; printf("listener %d: something fails\n", p);
        if
        :: me.job == beat && me.phase != RESTING -> me.rethink = false; answer(AWAKE)   /* transitions._beat_failed */
        :: me.job == beat && me.phase == RESTING -> answer(0)
        :: else -> me.job = failed
        fi }
    :: atomic { me.job == failed ->                                             /* transitions._failed */
        me.job = idle; me.rethink = false; me.reconnected = false; me.rung = false;
#ifdef ERROR_SLEEPS
        if :: me.silent -> give_back() :: else fi;
        fall_asleep()
#else
        rest()
#endif
      }
    od
}


/* ---- The LISTEN session: ears.py, wake.py ----------------------------------------------------------------------- */

proctype Ear(byte p)
{
end:
    do
    :: atomic { !me.listening ->                                                /* wake.connect_listen */
        me.listening = true; me.bell = false;
#ifndef LISTEN_LATE
        me.ears = true;
#endif
        changed(true); printf("listener %d: LISTEN is in force\n", p) }
#ifdef LISTEN_LATE
    :: atomic { me.listening && !me.ears && !me.lost && !me.deaf -> me.ears = true; printf("listener %d: hears\n", p) }
#endif
    :: atomic { !me.listening && deafnesses > 0 -> deafnesses--; me.listening = true; me.deaf = true; changed(true);
        printf("listener %d: LISTEN is not heard\n", p) }
    :: atomic { me.deaf -> me.deaf = false; me.ears = true; changed(true); printf("listener %d: LISTEN is heard\n", p) }
    :: atomic { me.bell -> me.bell = false; rang(); printf("listener %d: hears the bell\n", p) }
    :: atomic { dead_links > 0 && me.ears -> dead_links--; me.ears = false; me.bell = false; me.lost = true;
        printf("listener %d: its LISTEN session is lost\n", p) }
    :: atomic { me.lost -> me.lost = false; me.listening = false; changed(true);
        printf("listener %d: notices that\n", p) }                              /* transitions._listen_lost */
    :: atomic { me.listening && me.off != switched_off -> me.off = switched_off; changed(false);
        printf("listener %d: reads the flags\n", p) }                           /* transitions._configured */
    od
}


/* ---- Everybody else ---------------------------------------------------------------------------------------------- */

/* A lost session in the server. It may serve what was sent; its end frees its locks one by one, in no order. */
proctype Ghost()
{
end:
    do
#ifdef NO_LEADER_LOCK
    :: atomic { late && K == NOBODY -> K = GHOST; late = false; printf("the ghost: takes the silence lock\n") }
#else
    :: atomic { late && L == GHOST && K == NOBODY ->
        K = GHOST; late = false; printf("the ghost: takes the silence lock\n") }
#endif
    :: atomic { L == GHOST -> L = NOBODY; late = false; printf("the ghost: frees the leader's lock\n") }
    :: atomic { K == GHOST -> K = NOBODY; printf("the ghost: frees the silence lock\n") }
    od
}

/* A lease runs out while its leader stands still, or is no more: leader.RENEW_SQL */
proctype Time()
{
end:
    do
    :: atomic { lease != NOBODY -> lease = NOBODY; printf("the lease runs out\n") }
    od
}

proctype Operator()
{
    byte n = SWITCHES;
    do
    :: atomic { n > 0 -> n--; switched_off = !switched_off; printf("the operator: bells off: %d\n", switched_off) }
    :: break
    od
}

/* sql/003_notify.down.sql, then sql/003_notify.up.sql */
proctype Installer()
{
    byte i;
    atomic { bodies = false; gap = true; printf("the triggers do nothing any more\n") };
#ifdef RINGS_FIRST
    atomic { notify(); printf("the installation rings\n") };
    atomic { bodies = true; gap = false; printf("the triggers are there again\n") }
#else
    atomic { bodies = true; printf("the triggers are there again\n") };
#ifdef INSTALLS_SILENTLY
    gap = false
#else
    atomic { notify(); gap = false; printf("the installation rings\n") }
#endif
#endif
}

proctype Other()
{
    byte w;
    do
    :: w < WRITERS ->
        if
        :: atomic { (pending & BIT(w)) != 0 -> locked = BIT(w); printf("somebody locks the row of writer %d\n", w) };
            if
            :: atomic { true -> locked = 0; printf("somebody unlocks it\n") }
            :: atomic { true -> locked = 0; pending = pending & ~BIT(w); printf("somebody deals with it\n") }
            fi
        :: true
        fi;
        w++
    :: else -> break
    od
}

proctype Stranger()
{
    atomic { K == NOBODY -> K = OUTSIDER; muted = true; printf("a stranger takes the silence lock\n") };
    atomic { K = NOBODY; printf("the stranger releases the silence lock\n") }
}

init {
    byte i;
    atomic {
        do :: i < WRITERS -> run Writer(i); i++ :: else -> break od;
        i = 1;
        do :: i <= LISTENERS -> run Work(i); run Ear(i); i++ :: else -> break od;
        run Ghost();
#if DEAFNESSES > 0
        run Time();
#endif
#if SWITCHES > 0
        run Operator();
#endif
#ifdef REINSTALL
        run Installer();
#endif
#ifdef ROW_LOCKS
        run Other();
#endif
#ifdef STRANGER
        run Stranger();
#endif
        i = 0
    }
}

#if defined(FOUND) || defined(RESTS)
/* Time passes also when nothing happens any more: spin's fairness asks for a process that can always move. */
active proctype Clock() { do :: pending < BIT(WRITERS) od }
#endif

#ifdef FOUND
ltl found { <> [] (pending == 0) }
#endif

#ifdef RESTS
/* Not: it sleeps, sooner or later, and goes on sleeping. */
never {
again:
    do
    :: listener[1].phase != ASLEEP -> goto accept_awake
    :: true
    od;
accept_awake:
    goto again
}
#endif
