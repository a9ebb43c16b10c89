/* Records of a TLS connection after its handshake (connection/tls_read.c): in any pieces, across a handover, and what
 * has no place in them. The handshake itself is left out: each side gets its keys from the test. */
#include <criterion/criterion.h>

#include "harness_double.h"

#define PENDING_BYTES (1u << 20)
#define PIECE_WHOLE SIZE_MAX

/* A client that speaks TLS. What it says and hears in plain is that of `plain`, which has no connection. */
struct peer {
    struct harness *harness;
    struct client *wire;
    struct client *plain;
    char pending[PENDING_BYTES]; /* records that are not on the wire yet */
    size_t pending_bytes;
    struct tls_ciphers ciphers;
    struct tls_record record; /* of the client: `write` seals what it says */
    int alert;                /* the last one of the server; -1: none */
};

static const char upgrade[] = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static void set_keys(struct tls_record *record, enum tls_suite suite, bool is_13)
{
    static const uint8_t client[TLS_MASTER_BYTES] = {1}, server[TLS_MASTER_BYTES] = {2};
    cr_assert(is_13 ? tls_record_init_13(record, suite, client, server)
                    : tls_record_init_12(record, suite, client, server, server, client));
}

/* A connection to `shard` whose handshake is done. */
static struct peer *peer_open_with(struct harness *harness, uint32_t shard, enum tls_suite suite, bool is_13)
{
    struct core *core = harness_core(harness, shard);
    struct peer *peer = calloc(1, sizeof *peer);
    cr_assert(peer != NULL && tls_ciphers_open(&peer->ciphers) == 0);
    peer->harness = harness;
    peer->alert = -1;
    peer->plain = calloc(1, sizeof *peer->plain);
    peer->wire = client_accept(harness, shard);
    struct conn *conn = container_of(peer->wire->socket, struct conn, socket);
    cr_assert(tls_begin(core, conn));
    struct tls *tls = conn_cold(core, conn)->tls;
    set_keys(&tls->record, suite, is_13);
    tls->is_open = true;
    tls->data_max = TLS_DATA_BYTES_MAX;
    peer->record = (struct tls_record){.read = tls->record.write, .write = tls->record.read};
    client_send_bytes(peer->plain, upgrade, sizeof upgrade - 1);
    return peer;
}

static struct peer *peer_open(struct harness *harness, uint32_t shard)
{
    return peer_open_with(harness, shard, TLS_AES_128_GCM, true);
}

static void peer_close(struct peer **peer_p)
{
    struct peer *peer = *peer_p;
    *peer_p = NULL;
    tls_ciphers_close(&peer->ciphers);
    free(peer->plain->in);
    free(peer->plain->out);
    free(peer->plain);
    free(peer);
}

/* -- what the client says -- */

static void say_bytes(struct peer *peer, const char *data, size_t bytes)
{
    cr_assert_leq(peer->pending_bytes + bytes, sizeof peer->pending);
    memcpy(peer->pending + peer->pending_bytes, data, bytes);
    peer->pending_bytes += bytes;
}

static void say_record(struct peer *peer, uint8_t type, const char *data, size_t bytes)
{
    static char room[TLS_FRONT_BYTES + TLS_DATA_BYTES_MAX + TLS_BACK_BYTES];
    size_t front, back;
    memcpy(room + TLS_FRONT_BYTES, data, bytes);
    cr_assert(tls_seal(&peer->ciphers, &peer->record.write, (enum tls_type)type, room + TLS_FRONT_BYTES, bytes, &front,
                       &back));
    say_bytes(peer, room + TLS_FRONT_BYTES - front, front + bytes + back);
}

static void say_update(struct peer *peer, char is_asked)
{
    const char update[] = {24, 0, 0, 1, is_asked};
    say_record(peer, TLS_HANDSHAKE, update, sizeof update);
    cr_assert(tls_direction_update(&peer->record.write));
}

/* Everything that `plain` has said, in records of at most `most` bytes of data. */
static void say_all(struct peer *peer, size_t most)
{
    static char data[TLS_DATA_BYTES_MAX];
    for (size_t left; (left = client_bytes_left(peer->plain)) > 0;) {
        size_t bytes = left < most ? left : most;
        harness_client_take(peer->plain, data, bytes);
        say_record(peer, TLS_DATA, data, bytes);
    }
}

/* The first `bytes` of what is pending go to the server, in pieces of at most `piece`, each in turns of its own. */
static void deliver(struct peer *peer, size_t bytes, size_t piece)
{
    for (size_t at = 0; at < bytes; at += piece < bytes - at ? piece : bytes - at) {
        client_send_bytes(peer->wire, peer->pending + at, piece < bytes - at ? piece : bytes - at);
        harness_run_until_idle(peer->harness);
    }
    peer->pending_bytes -= bytes;
    memmove(peer->pending, peer->pending + bytes, peer->pending_bytes);
}

static void deliver_all(struct peer *peer)
{
    deliver(peer, peer->pending_bytes, PIECE_WHOLE);
}

/* -- what it hears -- */

static void hear_record(struct peer *peer, char *record, size_t record_bytes)
{
    uint8_t type;
    char *data;
    size_t bytes;
    cr_assert_eq(tls_open(&peer->ciphers, &peer->record.read, record, record_bytes, &type, &data, &bytes), 0);
    cr_assert_eq(peer->alert, -1, "nothing comes behind an alert");
    if (type == TLS_DATA)
        harness_client_receive(peer->plain, data, bytes);
    else if (type == TLS_ALERT)
        peer->alert = (uint8_t)data[1];
    else
        cr_assert(type == TLS_HANDSHAKE && bytes == 5 && data[0] == 24 && tls_direction_update(&peer->record.read));
}

/* Takes the records of the server off. */
static void hear(struct peer *peer)
{
    struct client *wire = peer->wire;
    while (wire->in_taken < wire->in_bytes) {
        char *record = wire->in + wire->in_taken;
        size_t left = wire->in_bytes - wire->in_taken, bytes = tls_record_bytes(record, left);
        cr_assert(bytes > 0 && bytes <= left, "the server sends whole records");
        wire->in_taken += bytes;
        hear_record(peer, record, bytes);
    }
    wire->in_bytes = wire->in_taken = 0;
}

static void expect_pong(struct peer *peer, const char *id)
{
    hear(peer);
    for (json_t *frame; (frame = client_next(peer->plain)) != NULL; json_decref(frame))
        if (strcmp(frame_text(frame, "op"), "ok") == 0 && strcmp(frame_text(frame, "id"), id) == 0) {
            json_decref(frame);
            return;
        }
    cr_assert_fail("no answer to the ping %s", id);
}

/* Upgrades, and logs in as `user`. */
static void log_in(struct peer *peer, const char *user)
{
    client_send(peer->plain, "{\"op\":\"login\",\"id\":\"login\",\"user\":\"%s\"}", user);
    say_all(peer, TLS_DATA_BYTES_MAX);
    deliver_all(peer);
    hear(peer);
    cr_assert(client_take_head(peer->plain));
    json_decref(client_expect(peer->plain, "ok"));
}

static void ping(struct peer *peer, const char *id)
{
    client_send(peer->plain, "{\"op\":\"ping\",\"id\":\"%s\"}", id);
    say_all(peer, TLS_DATA_BYTES_MAX);
}

/* The client's end; then nothing of it is left. */
static void leave(struct peer **peer)
{
    struct harness *harness = (*peer)->harness;
    client_end((*peer)->wire);
    harness_run_until_idle(harness);
    cr_assert(client_is_closed((*peer)->wire));
    harness_check_rest(harness);
    peer_close(peer);
}

static uint64_t refused(struct harness *harness, uint32_t shard)
{
    return metric_read(&harness_core(harness, shard)->refusals.counts[REFUSAL_TLS]);
}

/* -- what has a place -- */

#define SENDS 5u

/* Of the login, the sends in their order, and the ping, which waits for no disk. */
static void expect_answers(struct peer *peer)
{
    uint32_t sends = 0, others = 0;
    for (json_t *frame; (frame = client_next(peer->plain)) != NULL; json_decref(frame)) {
        if (strcmp(frame_text(frame, "op"), "ok") != 0)
            continue;
        if (json_is_integer(json_object_get(frame, "id")))
            cr_assert_eq(frame_number(frame, "id"), sends++);
        else
            cr_assert_str_eq(frame_text(frame, "id"), others++ == 0 ? "login" : "last");
    }
    cr_assert(sends == SENDS && others == 2, "%u sends and %u others were answered", sends, others);
}

static void talk(struct harness *harness, enum tls_suite suite, bool is_13, size_t most, size_t piece)
{
    struct peer *peer = peer_open_with(harness, 0, suite, is_13);
    const char *user = harness_name(harness, 1, 0);
    client_send(peer->plain, "{\"op\":\"login\",\"id\":\"login\",\"user\":\"%s\"}", user);
    for (uint32_t i = 0; i < SENDS; i++)
        client_send(peer->plain, "{\"op\":\"send\",\"id\":%u,\"to\":\"%s\",\"text\":\"text %u\"}", i, user, i);
    client_send(peer->plain, "{\"op\":\"ping\",\"id\":\"last\"}");
    say_all(peer, most);
    deliver(peer, peer->pending_bytes, piece);
    hear(peer);
    cr_assert(client_take_head(peer->plain));
    expect_answers(peer);
    leave(&peer);
}

/* Records and pieces of the wire have borders of their own, and the connection goes to the shard of its user between
 * any two of them. */
Test(tls, records_and_pieces_of_any_size_are_read_as_plain_input)
{
    static const size_t sizes[][2] = {{1, 7}, {3, 1000}, {50, 1}, {200, 33}, {16384, 5}, {16384, PIECE_WHOLE}};
    struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
    for (uint32_t suite = 0; suite < TLS_SUITES; suite++)
        for (uint32_t i = 0; i < 2 * sizeof sizes / sizeof sizes[0]; i++)
            talk(harness, (enum tls_suite)suite, i % 2 == 0, sizes[i / 2][0], sizes[i / 2][1]);
    cr_assert(refused(harness, 0) == 0 && refused(harness, 1) == 0);
    harness_close(harness);
}

Test(tls, a_part_of_a_record_goes_with_the_connection_to_the_shard_of_its_user)
{
    for (size_t cut = 1; cut < 50; cut += 7) {
        struct harness *harness = harness_open(&(struct harness_options){.shards = 2});
        struct peer *peer = peer_open(harness, 0);
        client_send(peer->plain, "{\"op\":\"login\",\"id\":\"login\",\"user\":\"%s\"}", harness_name(harness, 1, 0));
        say_all(peer, TLS_DATA_BYTES_MAX);
        size_t whole = peer->pending_bytes;
        ping(peer, "cut");
        cr_assert_lt(whole + cut, peer->pending_bytes);
        deliver(peer, whole + cut, PIECE_WHOLE);
        cr_assert(harness_core(harness, 0)->tls.count == 0 && harness_core(harness, 1)->tls.count == 1);
        cr_assert(harness_core(harness, 0)->conns.stash_bytes == 0 && harness_core(harness, 1)->conns.stash_bytes > 0);
        deliver_all(peer);
        hear(peer);
        cr_assert(client_take_head(peer->plain));
        expect_pong(peer, "cut");
        leave(&peer);
        harness_close(harness);
    }
}

Test(tls, records_without_data_and_new_keys_between_those_with_data_change_nothing)
{
    static const char canceled[] = {1, TLS_USER_CANCELED};
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct peer *peer = peer_open(harness, 0);
    log_in(peer, harness_name(harness, 0, 0));
    for (uint32_t i = 0; i < 32; i++)
        say_record(peer, TLS_DATA, "", 0);
    ping(peer, "after 32");
    say_record(peer, TLS_ALERT, canceled, sizeof canceled);
    ping(peer, "after user_canceled");
    deliver(peer, peer->pending_bytes, 100);
    expect_pong(peer, "after 32");
    expect_pong(peer, "after user_canceled");
    for (char is_asked = 0; is_asked <= 1; is_asked++) {
        say_update(peer, is_asked);
        say_update(peer, is_asked);
        ping(peer, "new keys");
        deliver(peer, peer->pending_bytes, 11);
        expect_pong(peer, "new keys");
    }
    cr_assert_eq(refused(harness, 0), 0);
    leave(&peer);
    harness_close(harness);
}

/* -- what has none -- */

/* A record, so many times; or what `say` says. */
struct misfit {
    const char *what;
    void (*say)(struct peer *peer); /* NULL: the record */
    uint8_t type;
    uint32_t times;
    struct span data;
    enum tls_alert alert;
};

static void say_changed(struct peer *peer)
{
    ping(peer, "changed");
    peer->pending[peer->pending_bytes - 20] ^= 1;
}

static void say_garbage(struct peer *peer)
{
    say_bytes(peer, "GET / HTTP/1.1\r\n", 16);
}

static void say_too_long(struct peer *peer)
{
    say_bytes(peer, "\x17\3\3\x41\1", 5);
}

static void say_replayed(struct peer *peer)
{
    ping(peer, "once");
    cr_assert_lt(2 * peer->pending_bytes, sizeof peer->pending);
    say_bytes(peer, peer->pending, peer->pending_bytes);
}

/* The alert comes, and it is the last word: what stands behind is not read. */
static void check_misfit(struct harness *harness, const struct misfit *misfit, bool is_13, size_t piece)
{
    struct peer *peer = peer_open_with(harness, 0, is_13 ? TLS_AES_256_GCM : TLS_CHACHA20_POLY1305, is_13);
    uint64_t before = refused(harness, 0);
    log_in(peer, harness_name(harness, 0, 0));
    for (uint32_t i = 0; i < misfit->times; i++)
        say_record(peer, misfit->type, misfit->data.data, misfit->data.bytes);
    if (misfit->say != NULL)
        misfit->say(peer);
    ping(peer, "behind it");
    deliver(peer, peer->pending_bytes, piece);
    hear(peer);
    cr_assert_eq(peer->alert, (int)misfit->alert, "%s: alert %d", misfit->what, peer->alert);
    cr_assert_eq(refused(harness, 0), before + 1, "%s", misfit->what);
    for (json_t *frame; (frame = client_next(peer->plain)) != NULL; json_decref(frame))
        cr_assert_str_neq(frame_text(frame, "id"), "behind it", "%s", misfit->what);
    leave(&peer);
}

#define RECORDS(what, times, type, literal)                                                                            \
    {                                                                                                                  \
        what, NULL, type, times, {literal, sizeof(literal) - 1}, TLS_UNEXPECTED_MESSAGE                                \
    }

static const struct misfit misfits[] = {
    RECORDS("33 records without data", 33, TLS_DATA, ""),
    RECORDS("an alert of one byte", 1, TLS_ALERT, "\1"),
    RECORDS("an alert of three bytes", 1, TLS_ALERT, "\1\0\0"),
    RECORDS("another message of a handshake", 1, TLS_HANDSHAKE, "\1\0\0\0"),
    RECORDS("a KeyUpdate that asks for what there is not", 1, TLS_HANDSHAKE, "\x18\0\0\1\2"),
    RECORDS("a KeyUpdate that is too long", 1, TLS_HANDSHAKE, "\x18\0\0\1\0\0"),
    RECORDS("a change of the cipher", 1, TLS_CHANGE_CIPHER_SPEC, "\1"),
    {.what = "a changed byte", .say = say_changed, .alert = TLS_BAD_RECORD_MAC},
    {.what = "a record that comes again", .say = say_replayed, .alert = TLS_BAD_RECORD_MAC},
    {.what = "bytes that begin no record", .say = say_garbage, .alert = TLS_UNEXPECTED_MESSAGE},
    {.what = "a record longer than one may be", .say = say_too_long, .alert = TLS_UNEXPECTED_MESSAGE},
};

Test(tls, what_has_no_place_ends_the_connection_with_its_alert_and_is_noted)
{
    static const struct misfit of_1_2 = RECORDS("a KeyUpdate in TLS 1.2", 1, TLS_HANDSHAKE, "\x18\0\0\1\0");
    static const size_t pieces[] = {1, 9, PIECE_WHOLE};
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    for (uint32_t i = 0; i < 3 * sizeof misfits / sizeof misfits[0]; i++) {
        check_misfit(harness, &misfits[i / 3], true, pieces[i % 3]);
        check_misfit(harness, &misfits[i / 3], false, pieces[i % 3]);
    }
    check_misfit(harness, &of_1_2, false, PIECE_WHOLE);
    harness_close(harness);
}

Test(tls, a_part_of_a_record_that_finds_no_memory_ends_the_connection_and_is_noted)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct peer *peer = peer_open(harness, 0);
    log_in(peer, harness_name(harness, 0, 0));
    harness_core(harness, 0)->budget.stash_bytes = 16;
    ping(peer, "cut");
    deliver(peer, 30, PIECE_WHOLE);
    hear(peer);
    cr_assert_eq(peer->alert, (int)TLS_INTERNAL_ERROR);
    cr_assert_eq(refused(harness, 0), 1);
    peer->pending_bytes = 0;
    leave(&peer);
    harness_close(harness);
}

/* Whoever sends more of its part is closed, since it is the oldest, and not what comes after it. */
Test(tls, the_oldest_part_before_a_login_is_closed_though_it_grows)
{
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct core *core = harness_core(harness, 0);
    struct peer *older = peer_open(harness, 0), *newer = peer_open(harness, 0);
    core->budget.stash_bytes = 1200;
    say_all(older, TLS_DATA_BYTES_MAX);
    say_all(newer, TLS_DATA_BYTES_MAX);
    deliver(older, 20, PIECE_WHOLE);
    deliver(newer, 20, PIECE_WHOLE);
    cr_assert_eq(refused(harness, 0), 0);
    deliver(older, older->pending_bytes - 1, PIECE_WHOLE);
    cr_assert(client_is_closed(older->wire) && !client_is_closed(newer->wire));
    cr_assert_eq(refused(harness, 0), 1);
    peer_close(&older);
    deliver_all(newer);
    hear(newer);
    cr_assert(client_take_head(newer->plain));
    leave(&newer);
    harness_close(harness);
}

Test(tls, an_alert_of_the_peer_drops_the_connection_at_once)
{
    static const char failure[] = {2, 40};
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    struct peer *peer = peer_open(harness, 0);
    log_in(peer, harness_name(harness, 0, 0));
    say_record(peer, TLS_ALERT, failure, sizeof failure);
    ping(peer, "behind it");
    deliver_all(peer);
    cr_assert(client_is_closed(peer->wire), "without its end of TCP");
    cr_assert_eq(peer->wire->in_bytes, 0);
    harness_check_rest(harness);
    peer_close(&peer);
    harness_close(harness);
}

Test(tls, what_was_asked_before_close_notify_is_answered_and_nothing_behind_it)
{
    static const char close_notify[] = {1, TLS_CLOSE_NOTIFY};
    struct harness *harness = harness_open(&(struct harness_options){.shards = 1});
    const char *user = harness_name(harness, 0, 0);
    for (size_t piece = 1; piece < 100; piece += 14) {
        struct peer *peer = peer_open(harness, 0);
        log_in(peer, user);
        harness_hold_writes(harness, 0, true);
        client_send(peer->plain, "{\"op\":\"send\",\"id\":\"send\",\"to\":\"%s\",\"text\":\"hi\"}", user);
        say_all(peer, 10);
        say_record(peer, TLS_ALERT, close_notify, sizeof close_notify);
        ping(peer, "behind it");
        deliver(peer, peer->pending_bytes, piece);
        cr_assert_not(client_is_closed(peer->wire));
        harness_hold_writes(harness, 0, false);
        harness_run_until_idle(harness);
        expect_pong(peer, "send");
        json_t *frame = client_next(peer->plain);
        cr_assert_not_null(frame);
        cr_assert_eq(frame_number(frame, "close"), 1000);
        json_decref(frame);
        cr_assert_null(client_next(peer->plain));
        cr_assert_eq(peer->alert, (int)TLS_CLOSE_NOTIFY);
        leave(&peer);
    }
    harness_close(harness);
}
