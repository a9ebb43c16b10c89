#include "operations/handover.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/fault.h"
#include "operations/login.h"
#include "server/core.h"

/* A connection between two shards. Until the letter is returned, the receiver owns what the fields point to. */
struct handover {
    struct letter letter;
    int fd;
    struct conn_cold cold;
    struct tls *tls; /* NULL: plain */
    struct ws ws;
    struct conn_stash stash;
    struct login *login;
    uint64_t login_at_us;
    uint32_t heard_s;
    uint16_t unanswered;
    uint16_t frame_count;
    struct rate frame_rate;
};

static uint32_t target_of(const struct core *core, const struct conn *conn)
{
    const struct login *login = conn->work->login;
    ASSERT(login != NULL);
    return core_shard_of(core, (struct span){login->user, login->user_bytes});
}

void handover_begin(struct core *core, struct conn *conn)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(target_of(core, conn) != core->index);
    conn_set_state(conn, CONN_HANDOVER);
    list_append(&core->handovers.waiting, &conn->work->handover_link);
}

/* Once the socket is being released, core_peer.handovers_out counts the connection. No letter will be returned for it.
 */
void handover_cancel(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_HANDOVER);
    if (list_is_linked(&conn->work->handover_link)) {
        list_remove(&conn->work->handover_link);
        return;
    }
    struct core_peer *peer = &core->peers[target_of(core, conn)];
    ASSERT(peer->handovers_out > 0);
    peer->handovers_out--;
}

void handover_step(struct core *core, struct conn *conn)
{
    ASSERT(conn->state == CONN_HANDOVER);
    if (!list_is_linked(&conn->work->handover_link) || conn->out_bytes > 0 || io_is_sending(&conn->socket))
        return;
    struct core_peer *peer = &core->peers[target_of(core, conn)];
    if (peer->handovers_out == CORE_HANDOVERS_OUT_MAX)
        return;
    peer->handovers_out++;
    list_remove(&conn->work->handover_link);
    list_remove(&conn->output_link);
    timers_clear(shard_timers(core->shard), &conn->timer);
    io_release(shard_io(core->shard), &conn->socket);
}

void handover_step_all(struct core *core)
{
    for (struct list *at = core->handovers.waiting.next, *next; at != &core->handovers.waiting; at = next) {
        next = at->next;
        handover_step(core, container_of(at, struct conn_work, handover_link)->conn);
    }
}

/* Moves what the connection owns into the letter, but for its slot. */
static struct handover *handover_pack(struct core *core, struct conn *conn, int fd)
{
    struct handover *handover = malloc(sizeof *handover);
    struct conn_work *work = conn->work;
    ASSERT(handover != NULL);
    ASSERT(conn->state == CONN_HANDOVER);
    ASSERT(work->head == NULL && work->replay == NULL && work->histories == NULL);
    ASSERT(core->conns.stash_bytes >= work->stash.bytes);
    struct tls *tls = tls_leave(core, conn);
    *handover =
        (struct handover){.letter = {.kind = LETTER_HANDOVER},
                          .fd = fd,
                          .tls = tls,
                          .cold = *conn_cold(core, conn),
                          .ws = work->ws,
                          .stash = FAULT(STASH_LOST_AT_HANDOVER) ? (struct conn_stash){.data = NULL} : work->stash,
                          .login = work->login,
                          .login_at_us = work->login_at_us,
                          .heard_s = conn->heard_s,
                          .unanswered = conn->unanswered,
                          .frame_count = conn->socket.count,
                          .frame_rate = work->frame_rate};
    core->conns.stash_bytes -= FAULT(STASH_KEPT_AT_HANDOVER) ? 0 : work->stash.bytes;
    ws_leave(&work->ws, core->conns.ws_pool);
    ws_init(&work->ws);
    work->stash = (struct conn_stash){.data = NULL};
    work->login = NULL;
    return handover;
}

void handover_on_released(struct core *core, struct conn *conn, int fd)
{
    ASSERT(fd >= 0);
    ASSERT(conn->user == NULL);
    uint32_t target = target_of(core, conn);
    struct handover *handover = handover_pack(core, conn, fd);
    conn_free(core, conn);
    shard_post(core->shard, target, &handover->letter);
}

/* Makes a connection of the letter's content and continues its login. */
static void unpack(struct core *core, struct handover *handover)
{
    ASSERT(handover->fd >= 0);
    ASSERT(handover->login != NULL);
    ws_enter(&handover->ws, core->conns.ws_pool);
    struct conn *conn = conn_open(core, handover->fd, CONN_OPEN, &handover->cold.address);
    if (conn == NULL) {
        core_conn_count_sub(core);
        admission_leave_address(core, &handover->cold);
        ws_fini(&handover->ws, core->conns.ws_pool);
        tls_discard(handover->tls);
        free(handover->stash.data);
        free(handover->login);
        return;
    }
    *conn_cold(core, conn) = handover->cold;
    tls_enter(core, conn, handover->tls);
    struct conn_work *work = conn_work(core, conn);
    work->ws = handover->ws;
    work->stash = handover->stash;
    core->conns.stash_bytes += work->stash.bytes;
    work->login = handover->login;
    work->login_at_us = handover->login_at_us;
    work->frame_rate = handover->frame_rate;
    conn->heard_s = handover->heard_s;
    conn->socket.count = handover->frame_count;
    conn->unanswered = handover->unanswered;
    login_begin(core, conn);
}

void handover_arrive(struct core *core, uint32_t from, struct letter *letter)
{
    ASSERT_ON_SHARD(core->shard);
    ASSERT(letter->kind == LETTER_HANDOVER);
    ASSERT(from != core->index);
    unpack(core, container_of(letter, struct handover, letter));
    letter->kind = LETTER_HANDOVER_RETURNED;
    shard_post(core->shard, from, letter);
}

void handover_on_returned(struct core *core, uint32_t to, struct letter *letter)
{
    ASSERT(core->peers[to].handovers_out > 0);
    core->peers[to].handovers_out--;
    free(container_of(letter, struct handover, letter));
}
