#include "ephemeral/conversations.h"

#include <errno.h>
#include <stdlib.h>

#include "base/state.h"
#include "history/reads.h"
#include "protocol/request.h"
#include "server/core.h"

/* Users that are looked up at a time: in memory, then by one job of the reader. */
#define PART_USERS 64u
/* What a job may cost in one go (store.h). */
#define JOB_LOOKS 8192u
/* What looking up a user in memory costs, in entries of the turn's budget. */
#define USER_READS 4u

/* The state of a check. set_state is the only writer. */
enum check_state {
    CHECK_READY,     /* in core->conversations.queue, or done */
    CHECK_POSTED,    /* the reader has it */
    CHECK_ABANDONED, /* the reader has it, and its owner has closed it */
};

static const uint8_t transitions[] = {
    [CHECK_READY] = STATE_TO(CHECK_POSTED),
    [CHECK_POSTED] = STATE_TO(CHECK_READY) | STATE_TO(CHECK_ABANDONED),
    [CHECK_ABANDONED] = STATE_TO(CHECK_READY),
};

/* A user of the list. */
struct candidate {
    struct name name;
    bool is_asked; /* they are still to be looked up; false, too, if the list has named them before */
    uint64_t ts;   /* of an entry with them; 0: none is known */
};

struct conversations {
    uint8_t state; /* enum check_state */
    struct core *core;
    struct user *user; /* a reference */
    struct list link;  /* in core->conversations.queue */
    void (*done)(void *context, int result);
    void *context;
    uint64_t bound; /* entries from it on are not visible */
    uint64_t bytes; /* counted */
    uint32_t at;    /* the next candidate */

    /* A part: users without an entry in memory. The reader has this while CHECK_POSTED. */
    struct reader_job job;
    int result; /* of the job */
    struct store_peer_check part;
    struct store_checked_peer peers[PART_USERS];
    struct candidate *candidates[PART_USERS]; /* of `peers` */

    struct names names;
    char *texts; /* behind the list */
    uint32_t count;
    struct candidate list[];
};

static void set_state(struct conversations *check, enum check_state state)
{
    ASSERT_TRANSITION(transitions, check->state, state);
    check->state = (uint8_t)state;
}

void conversations_init(struct conversation_checks *checks)
{
    list_init(&checks->queue);
}

/* Adds the user, whose name is copied to `text`. False: no memory. */
static bool add(struct conversations *check, struct span user, char *text)
{
    struct candidate *candidate = &check->list[check->count++];
    memcpy(text, user.data, user.bytes);
    *candidate = (struct candidate){.name = {.text = {text, user.bytes}}};
    if (names_find(&check->names, user) != NULL)
        return true;
    candidate->is_asked = true;
    return names_add(&check->names, &candidate->name);
}

static bool add_all(struct conversations *check, struct span users)
{
    struct span user;
    char *text = check->texts;
    while (request_next_user(&users, &user)) {
        if (!add(check, user, text))
            return false;
        text += user.bytes;
    }
    return true;
}

struct conversations *conversations_begin(struct core *core, struct user *user, const struct request_watch *asked,
                                          void (*done)(void *context, int result), void *context)
{
    uint64_t list_bytes = asked->count * (sizeof(struct candidate) + NAMES_OVERHEAD_BYTES);
    uint64_t bytes = sizeof(struct conversations) + list_bytes + asked->users.bytes;
    if (!presence_take_bytes(core, bytes))
        return NULL;
    struct conversations *check = malloc(bytes);
    if (check == NULL) {
        presence_give_bytes(core, bytes);
        return NULL;
    }
    *check = (struct conversations){.core = core,
                                    .user = user_ref(user),
                                    .done = done,
                                    .context = context,
                                    .bound = reads_bound(core, user),
                                    .bytes = bytes};
    check->texts = (char *)&check->list[asked->count];
    list_init(&check->link);
    names_init(&check->names, core_table_seed(core));
    if (!add_all(check, asked->users)) {
        conversations_close(&check);
        return NULL;
    }
    list_append(&core->conversations.queue, &check->link);
    return check;
}

bool conversations_next(const struct conversations *check, uint32_t *index_r, struct span *user_r)
{
    while (*index_r < check->count) {
        const struct candidate *candidate = &check->list[(*index_r)++];
        if (candidate->ts > 0) {
            *user_r = candidate->name.text;
            return true;
        }
    }
    return false;
}

static void check_free(struct conversations *check)
{
    list_remove(&check->link);
    names_fini(&check->names);
    presence_give_bytes(check->core, check->bytes);
    user_unref(&check->core->users, check->user);
    free(check);
}

void conversations_close(struct conversations **check_p)
{
    struct conversations *check = *check_p;
    *check_p = NULL;
    if (check == NULL)
        return;
    if (check->state == CHECK_POSTED)
        set_state(check, CHECK_ABANDONED);
    else
        check_free(check);
}

/* -- runs -- */

/* On the reader's thread. */
static void job_read(struct reader_job *job)
{
    struct conversations *check = container_of(job, struct conversations, job);
    check->result = store_reader_check_peers(job->core->reads.store_reader, &check->part);
}

static void job_done(struct reader_job *job)
{
    struct conversations *check = container_of(job, struct conversations, job);
    if (check->result == 1 && check->state == CHECK_POSTED) {
        reads_post(check->core, &check->job, READS_REPLAY);
        return;
    }
    bool is_abandoned = check->state == CHECK_ABANDONED;
    set_state(check, CHECK_READY);
    if (is_abandoned) {
        check_free(check);
        return;
    }
    for (uint32_t i = 0; i < check->part.count; i++)
        check->candidates[i]->ts = check->peers[i].ts;
    list_append(&check->core->conversations.queue, &check->link);
}

static void post(struct conversations *check)
{
    check->job.read = job_read;
    check->job.done = job_done;
    set_state(check, CHECK_POSTED);
    reads_post(check->core, &check->job, READS_REPLAY);
}

/* -- memory -- */

static uint64_t ts_in(const struct conversations *check, const struct memtable *table, struct span user)
{
    struct memtable_hit hit;
    const struct store_peer_check *part = &check->part;
    return memtable_peer_range(table, part->user, user, part->after, part->before, false, &hit, 1) == 0 ? 0 : hit.ts;
}

static uint64_t ts_in_memory(const struct conversations *check, struct span user)
{
    const struct generations *generations = &check->core->generations;
    uint64_t ts = ts_in(check, generations->filling, user);
    return ts == 0 && generations->frozen != NULL ? ts_in(check, generations->frozen, user) : ts;
}

/* Looks the next users up in memory. Those without an entry there are the part for the runs. */
static void gather_part(struct core *core, struct conversations *check)
{
    struct span user = user_name(check->user);
    uint32_t count = 0;
    check->part = (struct store_peer_check){.user = user,
                                            .after = erasure_cut_ts(core, user),
                                            .before = check->bound,
                                            .peers = check->peers,
                                            .looks_max = JOB_LOOKS};
    for (; check->at < check->count && count < PART_USERS; check->at++) {
        struct candidate *candidate = &check->list[check->at];
        if (!candidate->is_asked)
            continue;
        candidate->is_asked = false;
        count++;
        if (check->part.after + 1 < check->bound)
            candidate->ts = ts_in_memory(check, candidate->name.text);
        if (candidate->ts > 0)
            continue;
        check->candidates[check->part.count] = candidate;
        check->peers[check->part.count++] = (struct store_checked_peer){candidate->name.text, 0};
    }
    turn_spend(&core->turn, TURN_READS, TURN_PAGE_READS + USER_READS * count);
}

/* Entries that were found may have been cut since: then their users are looked up again. False: there are none. */
static bool ask_again(struct core *core, struct conversations *check)
{
    uint64_t cut = erasure_cut_ts(core, user_name(check->user));
    check->at = check->count;
    for (uint32_t i = check->count; i-- > 0;) {
        struct candidate *candidate = &check->list[i];
        if (candidate->ts == 0 || candidate->ts > cut)
            continue;
        candidate->ts = 0;
        candidate->is_asked = true;
        check->at = i;
    }
    return check->at < check->count;
}

/* Does the next part. */
static void go_on(struct core *core, struct conversations *check)
{
    if (check->result != 0 || (check->at == check->count && !ask_again(core, check))) {
        check->done(check->context, check->result);
        return;
    }
    int status = reads_index_peers(core, user_name(check->user));
    if (status < 0) {
        check->done(check->context, status);
        return;
    }
    if (status == 1) {
        gather_part(core, check);
        bool is_in_range = check->part.after + 1 < check->part.before;
        if (check->part.count > 0 && is_in_range && reads_runs_reach(core, check->part.after)) {
            post(check);
            return;
        }
    }
    list_append(&core->conversations.queue, &check->link);
}

void conversations_step(struct core *core)
{
    struct list *at;
    ASSERT_ON_SHARD(core->shard);
    while (turn_may_carry(&core->turn, TURN_READS) && (at = list_shift(&core->conversations.queue)) != NULL)
        go_on(core, container_of(at, struct conversations, link));
}
