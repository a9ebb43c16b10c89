/* Input of a TLS connection after its handshake, as the socket gives it: in pieces of any size it has the effect of the
 * whole. Data come as they were sealed and in their order; the first record that has no place ends the connection in
 * the way that it must, and nothing behind it is taken. The connection is a double that keeps what it is given. */
#include "connection/tls.h"
#include "fuzz.h"
#include "server/core.h"

#define STREAM_BYTES_MAX (128u << 10)
#define IDLE_RECORDS_MAX 32u /* in a row, without data: as in tls_read.c */
#define KEY_UPDATE_BYTES 5u
#define NO_ALERT 256

/* What the connection was given. */
struct seen {
    size_t bytes; /* of data */
    int alert;    /* with which it fails */
    bool is_ended;
    bool is_dropped;
    uint32_t updates_due; /* new keys of ours that the peer asked for */
    char data[STREAM_BYTES_MAX];
};

struct stream {
    size_t bytes;
    bool is_forged; /* ends with what no peer has sealed */
    char data[STREAM_BYTES_MAX];
};

static struct core core;
static struct conn conn;
static struct conn_cold cold;
static struct tls tls;
static struct seen *seen;
static uint32_t parts_left; /* before the connection is closed as the oldest that holds a part */

/* -- what tls_read.c calls -- */

struct conn_cold *conn_cold(struct core *of, const struct conn *which)
{
    ASSERT(of == &core && which == &conn);
    return &cold;
}

static bool is_over(void)
{
    return seen->alert != NO_ALERT || seen->is_ended || seen->is_dropped || conn.state == CONN_CLOSED;
}

/* Changes them in place, as the connection does. */
void conn_take_bytes(struct core *of, struct conn *which, char *data, size_t bytes)
{
    ASSERT(of == &core && which == &conn && bytes > 0 && !is_over());
    ASSERT(seen->bytes + bytes <= sizeof seen->data);
    memcpy(seen->data + seen->bytes, data, bytes);
    seen->bytes += bytes;
    memset(data, 0xee, bytes);
}

void conn_on_end(struct core *of, struct conn *which, int result)
{
    ASSERT(of == &core && which == &conn && result == 0 && !is_over() && tls.is_over);
    seen->is_ended = true;
}

void conn_drop(struct core *of, struct conn *which)
{
    ASSERT(of == &core && which == &conn && !is_over());
    seen->is_dropped = true;
    which->state = CONN_CLOSED;
}

void conn_queue_output(struct core *of, struct conn *which)
{
    ASSERT(of == &core && which == &conn && !is_over() && tls.owes_update);
    tls.owes_update = false;
    seen->updates_due++;
}

void tls_fail(struct core *of, struct conn *which, enum tls_alert alert, const char *reason)
{
    ASSERT(of == &core && which == &conn && !is_over() && reason != NULL);
    seen->alert = (int)alert;
    tls.is_over = true;
    conn_stash_clear(of, &tls.input);
}

void tls_take_handshake(struct core *of, struct conn *which, const char *data, size_t bytes)
{
    (void)of, (void)which, (void)data, (void)bytes;
    ASSERT(false);
}

void tls_note_part(struct core *of, struct conn *which)
{
    ASSERT(of == &core && which == &conn && !is_over() && tls.input.data != NULL);
    if (parts_left-- > 1)
        return;
    conn_stash_clear(of, &tls.input);
    which->state = CONN_CLOSED;
}

/* In memory of its exact size, new each time. */
int conn_stash_append(struct core *of, struct conn_stash *stash, const char *data, size_t bytes)
{
    ASSERT(of == &core && stash->begin == 0 && bytes > 0);
    char *grown = malloc(stash->end + bytes);
    ASSERT(grown != NULL && stash->end + bytes <= TLS_HEADER_BYTES + TLS_BODY_BYTES_MAX + STREAM_BYTES_MAX);
    if (stash->end > 0)
        memcpy(grown, stash->data, stash->end);
    memcpy(grown + stash->end, data, bytes);
    free(stash->data);
    *stash = (struct conn_stash){.data = grown, .end = stash->end + (uint32_t)bytes};
    stash->bytes = stash->end;
    return 0;
}

void conn_stash_clear(struct core *of, struct conn_stash *stash)
{
    ASSERT(of == &core);
    free(stash->data);
    *stash = (struct conn_stash){.data = NULL};
}

/* -- the peer -- */

struct peer {
    struct tls_record server;
    struct tls_direction write;
    uint32_t idle_count;
};

static void begin(struct peer *peer, enum tls_suite suite, bool is_13)
{
    static const uint8_t client[TLS_MASTER_BYTES] = {1}, server[TLS_MASTER_BYTES] = {2};
    bool is_good = is_13 ? tls_record_init_13(&peer->server, suite, client, server)
                         : tls_record_init_12(&peer->server, suite, client, server, server, client);
    ASSERT(is_good);
    peer->write = peer->server.read;
    peer->idle_count = 0;
}

/* Adds a record of the peer. False: there is no room. */
static bool add_record(struct stream *stream, struct peer *peer, uint8_t type, struct span data)
{
    size_t front, back;
    static char room[TLS_FRONT_BYTES + TLS_DATA_BYTES_MAX + TLS_BACK_BYTES];
    if (stream->bytes + sizeof room > sizeof stream->data)
        return false;
    if (data.bytes > 0)
        memcpy(room + TLS_FRONT_BYTES, data.data, data.bytes);
    bool is_good = tls_seal(&core.tls.ciphers, &peer->write, (enum tls_type)type, room + TLS_FRONT_BYTES, data.bytes,
                            &front, &back);
    ASSERT(is_good);
    memcpy(stream->data + stream->bytes, room + TLS_FRONT_BYTES - front, front + data.bytes + back);
    stream->bytes += front + data.bytes + back;
    return true;
}

static bool is_update(const struct peer *peer, struct span data)
{
    return peer->write.is_13 && data.bytes == KEY_UPDATE_BYTES && memcmp(data.data, "\x18\0\0\1", 4) == 0
           && (unsigned char)data.data[4] <= 1;
}

/* What must come of a message of a handshake, or of an alert. */
static void expect_message(struct seen *wanted, struct peer *peer, struct span data)
{
    if (!is_update(peer, data)) {
        wanted->alert = TLS_UNEXPECTED_MESSAGE;
        return;
    }
    wanted->updates_due += data.data[4] == 1;
    bool is_good = tls_direction_update(&peer->write);
    ASSERT(is_good);
}

static void expect_alert(struct seen *wanted, struct span data)
{
    if (data.bytes != 2)
        wanted->alert = TLS_UNEXPECTED_MESSAGE;
    else if (data.data[1] == TLS_CLOSE_NOTIFY)
        wanted->is_ended = true;
    else
        wanted->is_dropped = data.data[1] != TLS_USER_CANCELED;
}

static void expect_record(struct seen *wanted, struct peer *peer, uint8_t type, struct span data)
{
    if (type == TLS_DATA && data.bytes > 0) {
        memcpy(wanted->data + wanted->bytes, data.data, data.bytes);
        wanted->bytes += data.bytes;
        peer->idle_count = 0;
    } else if (++peer->idle_count > IDLE_RECORDS_MAX)
        wanted->alert = TLS_UNEXPECTED_MESSAGE;
    else if (type == TLS_ALERT)
        expect_alert(wanted, data);
    else if (type == TLS_HANDSHAKE)
        expect_message(wanted, peer, data);
    else if (type != TLS_DATA)
        wanted->alert = TLS_UNEXPECTED_MESSAGE;
}

static bool has_end(const struct seen *wanted)
{
    return wanted->alert != NO_ALERT || wanted->is_ended || wanted->is_dropped;
}

/* -- the steps of the input -- */

enum step { STEP_DATA, STEP_EMPTY, STEP_UPDATE, STEP_MESSAGE, STEP_ALERT, STEP_TYPE, STEP_CHANGED, STEP_RAW, STEPS };

/* The record of a step, and its type. */
static struct span record_of(struct fuzz_input *input, enum step step, bool is_13, uint8_t *type_r)
{
    static const char updates[2][KEY_UPDATE_BYTES] = {{24, 0, 0, 1, 0}, {24, 0, 0, 1, 1}};
    *type_r = step == STEP_ALERT ? TLS_ALERT : step == STEP_DATA || step == STEP_EMPTY ? TLS_DATA : TLS_HANDSHAKE;
    switch (step) {
    case STEP_EMPTY: return (struct span){"", 0};
    case STEP_UPDATE: return (struct span){updates[fuzz_number(input, 1) % 2], KEY_UPDATE_BYTES};
    case STEP_MESSAGE: return fuzz_span(input, fuzz_number(input, 1) % 8);
    case STEP_ALERT: return fuzz_span(input, fuzz_number(input, 1) % 4);
    case STEP_TYPE: *type_r = (uint8_t)fuzz_number(input, 1); break;
    default: *type_r = TLS_DATA;
    }
    /* The header of TLS 1.2 has the type. That of 1.3 stands behind the data, and a zero there is none. */
    if (!is_13)
        *type_r = (uint8_t)(TLS_CHANGE_CIPHER_SPEC + *type_r % 4);
    else if (*type_r == 0)
        *type_r = TLS_CHANGE_CIPHER_SPEC;
    return fuzz_span(input, fuzz_number(input, 2) % (TLS_DATA_BYTES_MAX + 1));
}

/* One changed byte, but not in the length: what stands behind the record would be a part of it. */
static bool change(struct fuzz_input *input, struct stream *stream, size_t from)
{
    size_t at = (size_t)fuzz_number(input, 2) % (stream->bytes - from);
    uint8_t bits = (uint8_t)fuzz_number(input, 1);
    if (at == 3 || at == 4 || bits == 0)
        return false;
    stream->data[from + at] = (char)(stream->data[from + at] ^ bits);
    return true;
}

static void add_raw(struct stream *stream, struct span raw)
{
    if (raw.bytes == 0 || raw.bytes > sizeof stream->data - stream->bytes)
        return;
    memcpy(stream->data + stream->bytes, raw.data, raw.bytes);
    stream->bytes += raw.bytes;
}

/* One step. False: it was the last one. */
static bool take_step(struct fuzz_input *input, struct peer *peer, struct stream *stream, struct seen *wanted)
{
    enum step step = (enum step)(fuzz_number(input, 1) % STEPS);
    size_t from = stream->bytes;
    uint8_t type;
    if (step == STEP_RAW) {
        add_raw(stream, fuzz_span(input, input->bytes));
        stream->is_forged = stream->bytes > from;
        return false;
    }
    struct span data = record_of(input, step, peer->write.is_13, &type);
    if (!add_record(stream, peer, type, data))
        return false;
    stream->is_forged = step == STEP_CHANGED && change(input, stream, from);
    if (!stream->is_forged)
        expect_record(wanted, peer, type, data);
    return !stream->is_forged && !has_end(wanted);
}

/* The stream, and what must be seen of it. Behind the record that ends the connection stand bytes that nobody may take.
 */
static void make_stream(struct fuzz_input *input, struct peer *peer, struct stream *stream, struct seen *wanted)
{
    stream->bytes = 0;
    stream->is_forged = false;
    wanted->bytes = 0;
    wanted->alert = NO_ALERT;
    wanted->is_ended = wanted->is_dropped = false;
    wanted->updates_due = 0;
    while (input->bytes > 0 && take_step(input, peer, stream, wanted))
        ;
    if (stream->is_forged || has_end(wanted))
        add_raw(stream, fuzz_span(input, 100));
}

/* -- the two ways -- */

/* Gives the connection the stream in pieces of at most `most` bytes (0: in one), each in memory of its own. `parts`:
 * see parts_left. */
static void give(struct seen *seen_r, const struct peer *peer, const struct stream *stream, size_t most, uint32_t parts)
{
    uint32_t random = (uint32_t)stream->bytes;
    conn = (struct conn){.state = CONN_LIVE, .is_tls = true};
    tls = (struct tls){.conn = &conn, .record = peer->server, .is_open = true, .data_max = TLS_DATA_BYTES_MAX};
    list_init(&tls.link);
    cold.tls = &tls;
    parts_left = parts;
    seen = seen_r;
    seen->bytes = 0;
    seen->alert = NO_ALERT;
    seen->is_ended = seen->is_dropped = false;
    seen->updates_due = 0;
    for (size_t at = 0; at < stream->bytes && conn.state != CONN_CLOSED;) {
        random = random * 1664525 + 1013904223;
        size_t left = stream->bytes - at, bytes = most == 0 ? left : 1 + (random >> 8) % most;
        bytes = bytes < left ? bytes : left;
        char *piece = fuzz_copy(stream->data + at, bytes);
        tls_on_recv(&core, &conn, piece, bytes);
        free(piece);
        at += bytes;
    }
}

static void check(const struct stream *stream, const struct seen *wanted)
{
    ASSERT(seen->bytes == wanted->bytes && memcmp(seen->data, wanted->data, seen->bytes) == 0);
    ASSERT(seen->is_ended == wanted->is_ended && seen->is_dropped == wanted->is_dropped);
    ASSERT(seen->updates_due == wanted->updates_due);
    if (!stream->is_forged)
        ASSERT(seen->alert == wanted->alert && tls.input.data == NULL);
    else
        ASSERT(seen->alert == NO_ALERT ? tls.input.data != NULL
                                       : seen->alert == TLS_UNEXPECTED_MESSAGE || seen->alert == TLS_BAD_RECORD_MAC);
    conn_stash_clear(&core, &tls.input);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct stream stream;
    static struct seen wanted, whole, pieces;
    struct fuzz_input input = {data, bytes};
    struct peer peer;
    if (core.tls.ciphers.contexts[0][0] == NULL)
        ASSERT(tls_ciphers_open(&core.tls.ciphers) == 0);
    uint8_t kind = (uint8_t)fuzz_number(&input, 1);
    size_t most = 1 + (size_t)fuzz_number(&input, 2) % (TLS_DATA_BYTES_MAX * 2);
    uint32_t parts = 1 + (uint32_t)fuzz_number(&input, 1);
    begin(&peer, (enum tls_suite)(kind / 2 % TLS_SUITES), kind % 2 == 1);
    make_stream(&input, &peer, &stream, &wanted);
    give(&whole, &peer, &stream, 0, UINT32_MAX);
    check(&stream, &wanted);
    give(&pieces, &peer, &stream, most, UINT32_MAX);
    check(&stream, &wanted);
    ASSERT(whole.alert == pieces.alert);
    /* Closed in the middle of a record. */
    give(&pieces, &peer, &stream, most, parts);
    ASSERT(pieces.bytes <= wanted.bytes && memcmp(pieces.data, wanted.data, pieces.bytes) == 0);
    conn_stash_clear(&core, &tls.input);
    return 0;
}
