/*
 * fault.h: faults that are built into the code for the simulator, which must catch each of them. Without
 * CHITCHAT_FAULTS, as in every build but the simulator's, FAULT is the constant false: the program has no trace of
 * them.
 */
#ifndef CHITCHAT_BASE_FAULT_H
#define CHITCHAT_BASE_FAULT_H

#include <stdbool.h>

enum fault {
    FAULT_NONE,
    FAULT_ACK_BEFORE_FLUSH,         /* the letter returns to its owner when the record is in the batch */
    FAULT_PUSH_BEFORE_FLUSH,        /* the recipient's entry settles when the record is in the batch */
    FAULT_ONE_TIMELINE,             /* the sender's copy is not put into memory */
    FAULT_DROP_LETTER,              /* an answer is not posted */
    FAULT_REUSE_SEGMENT_EARLY,      /* segments are recycled before every shard is done with the round */
    FAULT_TS_NOT_MONOTONIC,         /* a ts follows the clock when it steps back */
    FAULT_LOSE_FROZEN,              /* reads do not look into the frozen generation */
    FAULT_SKIP_LAST_RECORD,         /* recovery forgets the last record of a batch */
    FAULT_REPLAY_SEAM,              /* a replay goes live after its first page */
    FAULT_KEY_FORGOTTEN,            /* keys in memory are ignored when the window is read */
    FAULT_MARK_IGNORED,             /* what lies above the oldest pending entry is shown */
    FAULT_FAILED_WRITE_IS_BUSY,     /* a failed WAL write is reported as `busy` */
    FAULT_FREEZE_ALONE,             /* a shard freezes without the end of the others */
    FAULT_TORN_TAIL_ACCEPTED,       /* recovery does not look at the CRC of a batch */
    FAULT_PREV_OF_REFUSED,          /* a refused entry moves `prev` */
    FAULT_LAST_READ_LATE,           /* a login forgets what was released while it read */
    FAULT_RUN_NOT_SYNCED,           /* the manifest names a run that is not on the disk yet */
    FAULT_MERGE_DROPS_ROWS,         /* a merge leaves rows out */
    FAULT_UNLINK_BEFORE_COMMIT,     /* a merge removes its inputs before the manifest says so */
    FAULT_FAILED_RUN_RELEASED,      /* the generation of a failed checkpoint is released all the same */
    FAULT_FULL_FOR_EVER,            /* what failed because the disk was full is not tried again */
    FAULT_READ_ERROR_IS_END,        /* a run that cannot be read is taken for one without more rows */
    FAULT_PAGE_BOUND_OFF,           /* a page that goes on leaves out the entry beside its bound */
    FAULT_TURN_WITHOUT_END,         /* no kind of work has a budget */
    FAULT_STASH_KEPT_AT_HANDOVER,   /* a handed over connection leaves its stashed bytes in the count of its shard */
    FAULT_STASH_LOST_AT_HANDOVER,   /* the bytes behind the login frame are not handed over */
    FAULT_END_DROPS_REQUESTS,       /* the end of a peer's side closes the connection, answered or not */
    FAULT_SEND_BYTES_KEPT,          /* a refused send leaves its bytes in the count of those in flight */
    FAULT_SEGMENT_NOT_ASSIGNED,     /* a spare is used though the manifest does not name it */
    FAULT_CUT_LOST_AT_CHECKPOINT,   /* a checkpoint does not save the cuts */
    FAULT_CUT_LOST_IN_RECOVERY,     /* recovery passes over cuts in the WAL */
    FAULT_CUT_IGNORED_BY_MERGE,     /* a merge keeps what is cut */
    FAULT_CUT_IGNORED_BY_READ,      /* a read shows what is cut */
    FAULT_CUT_BY_PREFIX,            /* a cut is one of all users whose names begin with its user's */
    FAULT_CUT_BEFORE_FLUSH,         /* an erasure is answered when its record is in the batch */
    FAULT_CUT_DROPPED_EARLY,        /* cuts are dropped though no other one says the same */
    FAULT_SKIP_COUNTS_TWICE,        /* a login with `max` counts an entry that is in memory and in a run twice */
    FAULT_RETENTION_TOO_NEW,        /* --retention cuts at the present time */
    FAULT_LEAP_FOLLOWED,            /* a leap of the clock counts at once */
    FAULT_MARKS_LOST_AT_CHECKPOINT, /* a checkpoint does not write the marks of conversations */
    FAULT_MARKS_BACK_IN_MERGE,      /* a merge keeps the lower of two marks */
    FAULT_PEERS_LOST_IN_MERGE,      /* a merge leaves parts of the index by peer out */
    FAULT_PLACE_NOT_CHECKED,        /* the row beside a place is taken for the one at it, whatever its key */
    FAULT_FILTER_LACKS_SENDERS,     /* the filter of an index by peer excludes peers who wrote */
    FAULT_SEEN_BEFORE_FLUSH,        /* a mark is answered and pushed when its record is in the batch */
    FAULT_SEEN_GOES_BACK,           /* a mark is stored though a higher one is */
    FAULT_SEEN_BY_NOT_KEPT,         /* the peer's shard does not keep a mark */
    FAULT_SEEN_LOST_IN_RECOVERY,    /* recovery passes over marks in the WAL */
    FAULT_UNSEEN_OFF_BY_ONE,        /* the newest unseen message is not counted */
    FAULT_SEEN_AHEAD_STALE,         /* marks read ahead are used though memory went to a run since */
    FAULT_SEEN_AHEAD_TOO_FAR,       /* they are taken to be all there is, also where the read ended before */
    FAULT_PEERS_WALK_STALE,         /* a walk over conversations goes on though the user has got an entry */
    FAULT_COUNT,

    /* Those of a cluster, which its own simulator must catch (tests/sim/cluster.c). */
    FAULT_CHAIN_IGNORED = FAULT_COUNT, /* a log that does not continue what the node holds is served */
    FAULT_APPLY_WHEN_SEEN,             /* a batch is applied when it is read */
    FAULT_APPLY_WHEN_FOLLOWED,         /* a batch is applied when any batch follows it */
    FAULT_UNKNOWN_SETTLED_BY_READING,  /* an append of unknown outcome counts as committed when it is read */
    FAULT_NO_BARRIER,                  /* a login is answered at once */
    FAULT_READ_WITHOUT_BARRIER,        /* a read of a program is */
    FAULT_ACK_BEFORE_ENGINE,           /* a send is answered when its batch is appended, not when it is acknowledged */
    FAULT_UNKNOWN_AS_NEW,              /* what an append of unknown outcome had goes into the next batch */
    FAULT_WINDOW_OF_TWO,               /* a second batch is appended before the first is acknowledged */
    FAULT_DEPOSED_KEEPS_MEMORY,        /* a deposed node keeps what was not committed */
    FAULT_DEPOSED_ANSWERS,             /* a deposed node answers what was not committed */
    FAULT_SERVES_BEFORE_APPLIED,       /* an owner serves before it has applied what was before its TAKE */
    FAULT_HELD_UNCOMMITTED,            /* a checkpoint writes what is not committed */
    FAULT_TAIL_FORGOTTEN,              /* a node that starts forgets what was acknowledged above its checkpoint */
    FAULT_REPORTS_APPLIED,             /* a node reports what it has in memory as what its runs have */
    FAULT_PURGE_BY_OWN,                /* the log is purged by the position of the owner alone */
    FAULT_KEYS_OF_OWNERSHIP,           /* an owner knows only the keys of what it has appended itself */
    FAULT_SILENCE_UNCHECKED,           /* the time in which a node did not look counts as silence of the logs */
    FAULT_CLUSTER_END
};

#ifdef CHITCHAT_FAULTS
extern enum fault fault_active; /* set by the simulator before it begins */
#define FAULT(name) (fault_active == FAULT_##name)
#else
#define FAULT(name) false
#endif

#endif
