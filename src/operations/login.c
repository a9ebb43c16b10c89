#include "operations/login.h"

#include <stdlib.h>

#include "history/reads.h"
#include "history/replay.h"
#include "protocol/reply.h"
#include "server/core.h"
#include "timeline/fanout.h"

/* A read of the newest ts of a user. */
struct last_read {
    struct reader_job job;
    struct user *user; /* a reference */
    uint64_t before;   /* ts below this count */
    uint64_t memory_last;
    uint64_t runs_last;
    int result; /* 0 or -errno */
};

/* Sets the timer for silence. */
static void start_keepalive(struct core *core, struct conn *conn)
{
    uint64_t now_us = shard_monotonic_us(core->shard);
    conn_set_keepalive(core, conn, now_us + seconds_us(core->server->config->ping_s));
}

/* Continues with the stash, or receives. */
static void resume_reading(struct core *core, struct conn *conn)
{
    if (conn_has_stash(conn))
        conn_queue_resume(core, conn);
    else
        conn_receive(core, conn);
}

/* Up to which ts everything is gone. Not above `last`: a user with connections keeps theirs when the cut passes it. */
static uint64_t gone_of(const struct core *core, const struct user *user)
{
    uint64_t cut = reads_cut(core, user);
    return cut < user->timeline.last ? cut : user->timeline.last;
}

/* The timeline is whole after this ts. `hidden`: up to where --retention hides it. */
static uint64_t first_after(const struct core *core, const struct user *user, uint64_t hidden)
{
    uint64_t gone = gone_of(core, user);
    return hidden > gone ? hidden : gone;
}

/* Of a login, which knows the newest entry that is hidden. The next start may see the limit elsewhere, but not that
 * entry: so a cursor that begins there, and the chain of `prev`, stay right. */
static uint64_t first_of(const struct core *core, const struct conn *conn)
{
    return first_after(core, conn->user, conn->work->login->first);
}

/* The caller sets `last`, `first`, `reset` and `skipped_until`. */
static void write_reply(struct core *core, struct conn *conn, const struct request_id *id, struct reply_login reply)
{
    const struct config *config = core->server->config;
    reply.user = user_name(conn->user);
    reply.epoch = span_of(datadir_epoch(core->server->datadir));
    reply.ping_s = config->ping_s;
    reply.auth = span_of(config->auth == CONFIG_AUTH_TOKEN ? "token" : "none");
    char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
    conn_reply_end(core, conn, reply_write_login(out, id, &reply));
}

static void extend(struct core *core, struct conn *conn, const struct request_id *id, uint32_t expires_s)
{
    struct conn_cold *cold = conn_cold(core, conn);
    ASSERT(conn_is_logged_in(conn));
    ASSERT(conn->user->timeline.last_is_known);
    if (expires_s > cold->expires_s)
        cold->expires_s = expires_s;
    uint64_t last = conn->user->timeline.last;
    uint64_t hidden = core->retention.hidden_ts < last ? core->retention.hidden_ts : last;
    write_reply(core, conn, id, (struct reply_login){.last = last, .first = first_after(core, conn->user, hidden)});
    metric_add(&core->metrics.logins[METRICS_LOGIN_RENEWED], 1);
    conn_answered(core, conn);
}

/* Takes `login` out of those that wait on its connection. */
static void unchain(struct login *login)
{
    struct login **at = &login->conn->work->login;
    while (*at != login)
        at = &(*at)->next;
    *at = login->next;
}

static void on_extended(struct core *core, struct barrier *barrier, enum barrier_end end)
{
    struct login *login = container_of(barrier, struct login, barrier);
    struct conn *conn = login->conn;
    ASSERT(end == BARRIER_PASSED);
    unchain(login);
    if (conn_is_logged_in(conn)) /* else it is closing */
        extend(core, conn, &login->id, login->expires_s);
    free(login);
}

void login_extend(struct core *core, struct conn *conn, const struct request_id *id, uint32_t expires_s)
{
    if (core->wal_writer.log.remote == NULL) {
        extend(core, conn, id, expires_s);
        return;
    }
    struct login *login = calloc(1, sizeof *login);
    if (login == NULL) {
        conn_close(core, conn, 1011, "no memory: reconnect later");
        return;
    }
    struct login **end = &conn_work(core, conn)->login;
    while (*end != NULL)
        end = &(*end)->next;
    *end = login;
    login->id = *id;
    login->expires_s = expires_s;
    login->conn = conn;
    login->barrier = (struct barrier){.on_end = on_extended, .is_patient = true};
    barrier_begin(core, &login->barrier);
}

/* The cursor or the epoch of the login is of another data set. */
static bool is_reset(const struct login *login, uint64_t last)
{
    return login->is_other_epoch || (login->has_after && login->after > last);
}

/* Where the replay begins: at the client's cursor, or above what is gone. */
static uint64_t start_of(const struct core *core, const struct conn *conn)
{
    uint64_t first = first_of(core, conn);
    uint64_t after = conn->work->login->after;
    return after > first ? after : first;
}

/* Answers the login, and starts the replay if the client asked for one. `last` is the timeline's at the moment of the
 * login; the entries up to `skipped` are left out of the replay (0: none). */
static void complete(struct core *core, struct conn *conn, uint64_t last, uint64_t skipped)
{
    ASSERT(conn->state == CONN_LOGIN);
    const struct login *login = conn->work->login;
    const struct timeline *timeline = &conn->user->timeline;
    ASSERT(timeline->last_is_known && last <= timeline->last);
    uint64_t start = start_of(core, conn);
    uint64_t first = first_of(core, conn);
    struct reply_login reply = {.last = first > last ? first : last, .first = first, .reset = is_reset(login, last)};
    if (skipped > start)
        reply.skipped_until = start = skipped;
    write_reply(core, conn, &login->id, reply);
    conn->cursor = timeline->last;
    if (login->has_after && !reply.reset) {
        conn->cursor = start;
        conn_set_state(conn, CONN_REPLAY);
        replay_start(core, conn, reply.skipped_until != 0 || start == first, first);
    } else {
        if (login->has_after) {
            char *out = conn_reply_begin(core, conn, REPLY_BYTES_MAX);
            conn_reply_end(core, conn, reply_write_live(out));
        }
        conn_set_state(conn, CONN_LIVE);
    }
    if (!conn_is_logged_in(conn))
        return; /* no memory for the replay: the connection is closing */
    metric_add(&core->metrics.logins[METRICS_LOGIN_OK], 1);
    presence_on_login(core, conn);
    free(conn->work->login);
    conn->work->login = NULL;
    start_keepalive(core, conn);
    conn_answered(core, conn);
    resume_reading(core, conn);
}

/* `last` cannot be read: the client may send the login again until the login deadline. */
static void refuse(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_LOGIN);
    struct login *login = conn->work->login;
    conn->work->login = NULL;
    barrier_leave(&login->barrier);
    fanout_leave(core, conn);
    conn_set_state(conn, CONN_OPEN);
    timers_set(shard_timers(core->shard), &conn->timer, conn->work->login_at_us);
    metric_add(&core->metrics.logins[METRICS_LOGIN_REFUSED], 1);
    conn_reply_error(core, conn, &login->id, ERROR_UNAVAILABLE, "the store cannot be read: try again", 0);
    free(login);
    resume_reading(core, conn);
}

static void answer(struct core *core, struct conn *conn);

/* What a login with `max` leaves out is known. Its last is kept in the login meanwhile. */
static void skip_found(struct core *core, struct conn *conn, int result, uint64_t skipped)
{
    if (result == 0 && conn->work->login->hidden_ts != core->retention.hidden_ts)
        answer(core, conn);
    else if (result == 0)
        complete(core, conn, conn->work->login->last, skipped);
    else
        refuse(core, conn);
}

static void answer(struct core *core, struct conn *conn);

static void on_barrier(struct core *core, struct barrier *barrier, enum barrier_end end)
{
    struct login *login = container_of(barrier, struct login, barrier);
    ASSERT(end == BARRIER_PASSED);
    login->is_past_barrier = true;
    if (login->conn->state == CONN_LOGIN) /* else it is closing */
        answer(core, login->conn);
}

static bool is_past_barrier(struct core *core, struct conn *conn)
{
    struct login *login = conn->work->login;
    if (core->wal_writer.log.remote == NULL || login->is_past_barrier)
        return true;
    if (barrier_waits(&login->barrier))
        return false;
    login->conn = conn;
    login->barrier = (struct barrier){.on_end = on_barrier, .is_patient = true};
    barrier_begin(core, &login->barrier);
    return false;
}

static void first_found(struct core *core, struct conn *conn, int result, uint64_t ts)
{
    if (result != 0) {
        refuse(core, conn);
        return;
    }
    conn->work->login->first = ts;
    answer(core, conn);
}

/* Whether `first` is known; else looks for the newest entry that is hidden. */
static bool knows_first(struct core *core, struct conn *conn)
{
    struct login *login = conn->work->login;
    uint64_t hidden_ts = core->retention.hidden_ts;
    uint64_t gone = gone_of(core, conn->user), last = conn->user->timeline.last;
    if (login->hidden_ts == hidden_ts)
        return true;
    login->hidden_ts = hidden_ts;
    login->first = last <= hidden_ts ? last : 0;
    if (last <= hidden_ts || hidden_ts <= gone)
        return true;
    if (!skip_start(core, conn, gone, hidden_ts + 1, 0, first_found))
        refuse(core, conn);
    return false;
}

/* `last` is known: answers the login, or looks first for where its timeline begins and what its `max` leaves out. */
static void answer(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_LOGIN);
    struct login *login = conn->work->login;
    if (!is_past_barrier(core, conn) || !knows_first(core, conn))
        return;
    uint64_t last = conn->user->timeline.last;
    bool has_max = login->has_max && login->has_after && !is_reset(login, last);
    if (!has_max || start_of(core, conn) >= last) {
        complete(core, conn, last, 0);
        return;
    }
    if (login->max == 0) {
        complete(core, conn, last, last);
        return;
    }
    login->last = last;
    if (!skip_start(core, conn, start_of(core, conn), last + 1, login->max, skip_found))
        refuse(core, conn);
}

/* Answers or refuses all logins of `user` that wait for `last`. */
static void answer_all(struct core *core, struct user *user, void (*answer_one)(struct core *core, struct conn *conn))
{
    for (struct list *at = user->conns.next, *next; at != &user->conns; at = next) {
        next = at->next;
        struct conn *conn = container_of(at, struct conn, user_link);
        if (conn->state == CONN_LOGIN)
            answer_one(core, conn);
    }
}

/* On the reader's thread. */
static void last_work(struct reader_job *job)
{
    struct last_read *read = container_of(job, struct last_read, job);
    read->result =
        store_reader_newest(job->core->reads.store_reader, user_name(read->user), read->before, &read->runs_last);
}

/* `found` is the newest ts that was read. What is cut may be among it, or be gone: the cut itself stands for it. */
static void learn_last(struct core *core, struct user *user, uint64_t found)
{
    uint64_t cut = reads_cut(core, user);
    timeline_learn_last(&user->timeline, found > cut ? found : cut);
}

static void last_done(struct reader_job *job)
{
    struct last_read *read = container_of(job, struct last_read, job);
    struct core *core = job->core;
    struct user *user = read->user;
    ASSERT(user->is_reading_last);
    user->is_reading_last = false;
    if (read->result == 0) {
        learn_last(core, user, read->runs_last > read->memory_last ? read->runs_last : read->memory_last);
        answer_all(core, user, answer);
    } else {
        answer_all(core, user, refuse);
    }
    free(read);
    user_unref(&core->users, user);
}

/* Reads `last` from memory, then from the runs if they may have something newer. False: no memory. */
static bool read_last(struct core *core, struct user *user)
{
    ASSERT(!user->is_reading_last);
    uint64_t mark = reads_bound(core, user);
    uint64_t memory_last = reads_memory_newest(core, user_name(user), mark);
    if (!reads_runs_reach(core, memory_last)) {
        learn_last(core, user, memory_last);
        return true;
    }
    struct last_read *read = calloc(1, sizeof *read);
    if (read == NULL)
        return false;
    read->user = user_ref(user);
    read->before = mark;
    read->memory_last = memory_last;
    read->job.read = last_work;
    read->job.done = last_done;
    user->is_reading_last = true;
    reads_post(core, &read->job, READS_LOGIN);
    return true;
}

void login_begin(struct core *core, struct conn *conn)
{
    ASSERT_ON_SHARD(core->shard);
    const struct login *login = conn->work->login;
    ASSERT(login != NULL && conn->user == NULL);
    ASSERT(core_shard_of(core, (struct span){login->user, login->user_bytes}) == core->index);
    struct user *user = user_take(&core->users, (struct span){login->user, login->user_bytes});
    if (user == NULL) {
        conn_close(core, conn, 1011, "no memory: reconnect later");
        return;
    }
    if (user->conn_count >= core->server->config->user_connections) {
        metric_add(&core->metrics.logins[METRICS_LOGIN_REFUSED], 1);
        refusal_note(core, REFUSAL_USER_CONNECTIONS, &conn_cold(core, conn)->address, NULL);
        conn_close(core, conn, 4201, "too many connections of this user");
        goto unref_user;
    }
    conn_set_state(conn, CONN_LOGIN);
    timers_clear(shard_timers(core->shard), &conn->timer);
    fanout_join(conn, user);
    if (!user->timeline.last_is_known && !user->is_reading_last && !read_last(core, user)) {
        refuse(core, conn);
        goto unref_user;
    }
    if (user->timeline.last_is_known)
        answer(core, conn);

unref_user:
    user_unref(&core->users, user);
}
