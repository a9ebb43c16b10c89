#include "move.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "core.h"
#include "login.h"

struct move {
    struct letter letter;
    int fd;
    struct ws ws;
    struct conn_stash stash;
    struct login *login;
    uint64_t login_at_us;
    uint32_t heard_s;
    uint16_t unanswered;
    struct rate frame_rate;
};

static uint32_t target_of(const struct core *core, const struct conn *conn)
{
    const struct login *login = conn->work->login;
    return core_shard_of(core, (struct span){login->user, login->user_bytes});
}

void move_begin(struct core *core, struct conn *conn)
{
    conn_set_state(conn, CONN_MOVING);
    list_append(&core->moving_conns, &conn->work->moving_link);
}

/* Its place among those that are under way is given back when its letter is, or here. */
void move_cancel(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_MOVING);
    if (list_is_linked(&conn->work->moving_link))
        list_remove(&conn->work->moving_link);
    else
        core->peers[target_of(core, conn)].moves_out--;
}

void move_step(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_MOVING);
    if (!list_is_linked(&conn->work->moving_link) || conn->out_bytes > 0 || io_is_sending(&conn->socket))
        return;
    struct core_peer *peer = &core->peers[target_of(core, conn)];
    if (peer->moves_out == CORE_MOVES_OUT_MAX)
        return;
    peer->moves_out++;
    list_remove(&conn->work->moving_link);
    list_remove(&conn->output_link);
    timers_clear(shard_timers(core->shard), &conn->timer);
    io_release(shard_io(core->shard), &conn->socket);
}

void move_step_all(struct core *core)
{
    for (struct list *at = core->moving_conns.next, *next; at != &core->moving_conns; at = next) {
        next = at->next;
        move_step(core, container_of(at, struct conn_work, moving_link)->conn);
    }
}

/* What the connection owned goes into the letter; the slot is free. */
static struct move *move_pack(struct core *core, struct conn *conn, int fd)
{
    struct move *move = malloc(sizeof *move);
    struct conn_work *work = conn->work;
    ASSERT(move != NULL);
    *move = (struct move){.letter = {.kind = LETTER_MOVE, .from = (uint16_t)core->index},
                          .fd = fd,
                          .ws = work->ws,
                          .stash = FAULT(STASH_LOST_AT_MOVE) ? (struct conn_stash){.data = NULL} : work->stash,
                          .login = work->login,
                          .login_at_us = work->login_at_us,
                          .heard_s = conn->heard_s,
                          .unanswered = conn->unanswered,
                          .frame_rate = work->frame_rate};
    core->stash_bytes -= FAULT(STASH_KEPT_AT_MOVE) ? 0 : work->stash.bytes;
    ws_leave(&work->ws, core->ws_pool);
    ws_init(&work->ws);
    work->stash = (struct conn_stash){.data = NULL};
    work->login = NULL;
    return move;
}

void move_on_released(struct core *core, struct conn *conn, int fd)
{
    uint32_t target = target_of(core, conn);
    struct move *move = move_pack(core, conn, fd);
    conn_free(core, conn);
    shard_post(core->shard, target, &move->letter);
}

static void unpack(struct core *core, struct move *move)
{
    ws_enter(&move->ws, core->ws_pool);
    struct conn *conn = conn_open(core, move->fd, CONN_OPEN);
    if (conn == NULL) {
        atomic_fetch_sub_explicit(&core->server->conn_count, 1, memory_order_relaxed);
        ws_fini(&move->ws, core->ws_pool);
        free(move->stash.data);
        free(move->login);
        return;
    }
    struct conn_work *work = conn_work(core, conn);
    work->ws = move->ws;
    work->stash = move->stash;
    core->stash_bytes += work->stash.bytes;
    work->login = move->login;
    work->login_at_us = move->login_at_us;
    work->frame_rate = move->frame_rate;
    conn->heard_s = move->heard_s;
    conn->unanswered = move->unanswered;
    login_begin(core, conn);
}

void move_arrive(struct core *core, uint32_t from, struct letter *letter)
{
    unpack(core, container_of(letter, struct move, letter));
    letter->kind = LETTER_MOVED;
    shard_post(core->shard, from, letter);
}

void move_come_home(struct core *core, uint32_t to, struct letter *letter)
{
    core->peers[to].moves_out--;
    free(container_of(letter, struct move, letter));
}
