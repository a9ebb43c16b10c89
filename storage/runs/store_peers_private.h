/*
 * store_peers_private.h: a page of conversations while it is made: what store_peers.c (its life, marks, messages) and
 * store_peers_walk.c (all pieces and entries of the user, newest first) share. No other file includes it.
 */
#ifndef CHITCHAT_STORAGE_RUNS_STORE_PEERS_PRIVATE_H
#define CHITCHAT_STORAGE_RUNS_STORE_PEERS_PRIVATE_H

#include "storage/runs/conversations.h"
#include "storage/runs/run_peers.h"
#include "storage/runs/store_private.h"

enum phase { PHASE_NEWEST, PHASE_MARKS, PHASE_UNSEEN, PHASE_LAST, PHASE_DONE, PHASE_REST };

/* The marks of the conversations in runs. */
enum peers_marks {
    MARKS_OF_PAGE, /* those of the page are read */
    MARKS_READING, /* a walk goes on: those of all conversations are read */
    MARKS_KNOWN,   /* they were */
    MARKS_MANY,    /* they are too many: those of each page are read */
};

/* One run. Its entries are looked at newest first. */
struct peers_head {
    struct run *run;
    uint8_t number; /* the source of conversations.h */
    bool is_known;  /* `peers` was opened, or the run has no entries of the user: then it has only the hint */
    bool is_open;
    bool is_over;
    uint64_t at;       /* all from it on was looked at */
    uint64_t noted_at; /* where PHASE_NEWEST ended */
    struct run_peers peers;

    /* A block that is being read: the first peer of its next row. */
    bool is_in_block;
    size_t resume_bytes;
    uint64_t resume_ts;
    char resume[LIMIT_USER_BYTES];
};

struct store_peers {
    struct store *store;
    struct store_peers_query query;
    enum phase phase;
    struct run_list *list;    /* referenced from the first step on, not between the pages of a walk */
    uint64_t list_number;     /* between them: its number */
    struct peers_head *heads; /* one for each run of the list that may have the user */
    uint32_t count;
    uint32_t marks_at; /* PHASE_MARKS: the next head */
    enum peers_marks marks;
    uint32_t marks_read; /* MARKS_READING: rows */
    uint32_t last_at;    /* PHASE_LAST: the next conversation */
    uint32_t next_check; /* PHASE_NEWEST: at so many conversations and pieces see whether the page is known */
    uint32_t work;
    struct store_reader *reader; /* of this step */
    uint32_t looks;              /* left of this step */
    struct run *at;              /* that is read */
    bool has_more;
    size_t counted; /* bytes, in store->peers_bytes */
    struct conversations all;
    struct store_page *page;
    uint32_t *rows; /* for each conversation of the page: its row in `page` and 1; 0: none */
    uint64_t hash;  /* filter_hash of the user */
    size_t user_bytes;
    char user[LIMIT_USER_BYTES];
};

static inline struct span peers_user(const struct store_peers *peers)
{
    return (struct span){peers->user, peers->user_bytes};
}

static inline struct span peers_chosen_name(const struct store_peers *peers, uint32_t at)
{
    return conversations_name(&peers->all, peers->all.chosen[at].conversation);
}

/* Looks what the head's run has of the user. 0 or -errno. */
int store_peers_open_head(struct store_peers *peers, struct peers_head *head);
/* Begins a walk over all heads. */
void store_peers_rewind(struct store_peers *peers);
/* A part of PHASE_NEWEST or PHASE_UNSEEN. 1: goes on; 0: the phase is over; or -errno. */
int store_peers_walk_newest(struct store_peers *peers);
int store_peers_walk_unseen(struct store_peers *peers);

#endif
