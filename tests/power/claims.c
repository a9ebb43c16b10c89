#include "claims.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_private.h"

#define DESCRIPTORS_MAX 65536
#define USER_NONE (-1)

struct claims_stream {
    char *data;
    size_t bytes;
    size_t room;
    bool has_head; /* the answer to the upgrade has been read */
    int user;
};

void claims_text(uint32_t n, uint32_t bytes, char *out)
{
    uint32_t at = (uint32_t)snprintf(out, CLAIMS_TEXT_MAX, "%u:", n);
    for (; at < bytes; at++)
        out[at] = (char)('a' + (n + at) % 26);
    out[bytes] = '\0';
}

int claims_user(const struct claims *claims, const char *name)
{
    for (int i = 0; i < claims->user_count; i++)
        if (strcmp(claims->users[i], name) == 0)
            return i;
    disk_fail("user %s is not in the journal", name);
}

static int add_user(struct claims *claims, const char *name)
{
    for (int i = 0; i < claims->user_count; i++)
        if (strcmp(claims->users[i], name) == 0)
            return i;
    if (claims->user_count == CLAIMS_USERS_MAX)
        disk_fail("more than %d users", CLAIMS_USERS_MAX);
    snprintf(claims->users[claims->user_count], sizeof claims->users[0], "%s", name);
    return claims->user_count++;
}

static const char *text_of(json_t *object, const char *field)
{
    const char *text = json_string_value(json_object_get(object, field));
    return text == NULL ? "" : text;
}

static uint64_t number_of(json_t *object, const char *field)
{
    return (uint64_t)json_integer_value(json_object_get(object, field));
}

static void each_line(struct claims *claims, const char *path, void (*take)(struct claims *claims, json_t *line))
{
    char *text = NULL;
    size_t room = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        disk_fail("%s cannot be read", path);
    while (getline(&text, &room, file) > 0) {
        json_t *line = json_loads(text, 0, NULL);
        if (line == NULL)
            disk_fail("%s has a line that is not JSON: %s", path, text);
        take(claims, line);
        json_decref(line);
    }
    free(text);
    fclose(file);
}

static void take_erasure(struct claims *claims, json_t *line)
{
    size_t bytes = (claims->erasure_count + 1) * sizeof *claims->erasures;
    claims->erasures = disk_memory(claims->erasures, bytes);
    claims->erasures[claims->erasure_count++] =
        (struct erased){add_user(claims, text_of(line, "erase")), number_of(line, "first")};
}

static void take_sent(struct claims *claims, json_t *line)
{
    if (json_object_get(line, "erase") != NULL) {
        take_erasure(claims, line);
        return;
    }
    uint32_t n = (uint32_t)number_of(line, "n");
    if (n >= claims->sent_count) {
        claims->sent = disk_memory(claims->sent, (n + 1) * sizeof *claims->sent);
        memset(&claims->sent[claims->sent_count], 0, (n + 1 - claims->sent_count) * sizeof *claims->sent);
        claims->sent_count = n + 1;
    }
    struct sent *sent = &claims->sent[n];
    sent->is_known = true;
    sent->from = add_user(claims, text_of(line, "from"));
    sent->to = add_user(claims, text_of(line, "to"));
    sent->bytes = (uint32_t)number_of(line, "bytes");
    snprintf(sent->key, sizeof sent->key, "%s", text_of(line, "key"));
    sent->is_again |= json_is_true(json_object_get(line, "again"));
}

void claims_open(struct claims *claims, const char *journal_path)
{
    *claims = (struct claims){.user_count = 0};
    each_line(claims, journal_path, take_sent);
    claims->streams = disk_memory(NULL, DESCRIPTORS_MAX * sizeof *claims->streams);
    memset(claims->streams, 0, DESCRIPTORS_MAX * sizeof *claims->streams);
}

static void end_stream(struct claims_stream *stream)
{
    free(stream->data);
    *stream = (struct claims_stream){.user = USER_NONE};
}

void claims_close(struct claims *claims)
{
    for (int i = 0; i < DESCRIPTORS_MAX; i++)
        end_stream(&claims->streams[i]);
    free(claims->streams);
    free(claims->sent);
    free(claims->erasures);
    free(claims->items);
}

/* -- claims -- */

static void claim(struct claims *claims, struct claim claim)
{
    if (claims->count == claims->room) {
        claims->room = claims->room == 0 ? 1024 : claims->room * 2;
        claims->items = disk_memory(claims->items, claims->room * sizeof *claims->items);
    }
    claims->items[claims->count++] = claim;
}

static void claim_entry(struct claims *claims, int user, uint32_t n, json_t *frame)
{
    struct claim made = {.user = user,
                         .n = n,
                         .ts = number_of(frame, "ts"),
                         .prev = number_of(frame, "prev"),
                         .has_prev = json_object_get(frame, "prev") != NULL};
    snprintf(made.mid, sizeof made.mid, "%s", text_of(frame, "mid"));
    if (n >= claims->sent_count || !claims->sent[n].is_known || made.ts == 0 || made.mid[0] == '\0')
        disk_fail("a frame has message %u, which is not in the journal, or lacks ts or mid", n);
    claim(claims, made);
}

static void claim_first(struct claims *claims, int user, uint64_t first)
{
    claims->first[user] = first > claims->first[user] ? first : claims->first[user];
}

static void take_claim(struct claims *claims, json_t *line)
{
    if (json_object_get(line, "first") != NULL)
        claim_first(claims, claims_user(claims, text_of(line, "user")), number_of(line, "first"));
    else
        claim_entry(claims, claims_user(claims, text_of(line, "user")), (uint32_t)number_of(line, "n"), line);
}

void claims_load(struct claims *claims, const char *path)
{
    each_line(claims, path, take_claim);
}

void claims_save(const struct claims *claims, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL)
        disk_fail("%s cannot be made", path);
    for (uint32_t i = 0; i < claims->count; i++) {
        const struct claim *item = &claims->items[i];
        fprintf(file, "{\"user\":\"%s\",\"n\":%u,\"ts\":%llu,\"mid\":\"%s\"", claims->users[item->user], item->n,
                (unsigned long long)item->ts, item->mid);
        if (item->has_prev)
            fprintf(file, ",\"prev\":%llu", (unsigned long long)item->prev);
        fputs("}\n", file);
    }
    for (int user = 0; user < claims->user_count; user++)
        if (claims->first[user] > 0)
            fprintf(file, "{\"user\":\"%s\",\"first\":%llu}\n", claims->users[user],
                    (unsigned long long)claims->first[user]);
    fclose(file);
}

/* -- frames -- */

static void take_message(struct claims *claims, int user, json_t *message)
{
    char text[CLAIMS_TEXT_MAX + 1];
    uint32_t n = (uint32_t)strtoul(text_of(message, "text"), NULL, 10);
    claim_entry(claims, user, n, message);
    claims_text(n, claims->sent[n].bytes, text);
    if (strcmp(text, text_of(message, "text")) != 0)
        disk_fail("a frame has message %u with another text", n);
}

static void take_ok(struct claims *claims, struct claims_stream *stream, json_t *frame)
{
    if (json_object_get(frame, "user") != NULL) {
        stream->user = claims_user(claims, text_of(frame, "user"));
        uint64_t last = number_of(frame, "last");
        claims->last[stream->user] = last > claims->last[stream->user] ? last : claims->last[stream->user];
        claim_first(claims, stream->user, number_of(frame, "first"));
    } else if (json_object_get(frame, "mid") != NULL) {
        /* The id of a send is the message's number and the number of the attempt: "17/0". */
        claim_entry(claims, stream->user, (uint32_t)strtoul(text_of(frame, "id"), NULL, 10), frame);
        claims->acknowledged++;
    }
}

static void take_frame(struct claims *claims, struct claims_stream *stream, const char *data, size_t bytes)
{
    size_t index;
    json_t *message;
    json_t *frame = json_loadb(data, bytes, 0, NULL);
    if (frame == NULL)
        disk_fail("the server sent a frame that is not JSON");
    const char *op = text_of(frame, "op");
    if (strcmp(op, "ok") == 0)
        take_ok(claims, stream, frame);
    else if (strcmp(op, "msg") == 0)
        take_message(claims, stream->user, frame);
    json_array_foreach(json_object_get(frame, "messages"), index, message) take_message(claims, stream->user, message);
    json_decref(frame);
}

/* Bytes of the frame at `at`, and where its payload begins. 0: the frame is not complete. */
static size_t frame_bytes(const unsigned char *at, size_t bytes, size_t *header_r)
{
    *header_r = bytes < 2 ? 0 : at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10;
    if (*header_r == 0 || bytes < *header_r)
        return 0;
    size_t payload = *header_r == 2 ? at[1] : 0;
    for (size_t i = 2; i < *header_r; i++)
        payload = payload << 8 | at[i];
    return bytes < *header_r + payload ? 0 : *header_r + payload;
}

/* -- answers of the HTTP API -- */

/* Bytes of the head and the body of the answer, and the body as JSON; 0: they are not complete. */
static size_t answer_bytes(const char *data, size_t bytes, json_t **body_r)
{
    static const char length_name[] = "Content-Length: ";
    const char *end = memmem(data, bytes, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    const char *length = memmem(data, (size_t)(end - data), length_name, sizeof length_name - 1);
    size_t body = length == NULL ? 0 : strtoul(length + sizeof length_name - 1, NULL, 10);
    size_t head = (size_t)(end + 4 - data);
    if (bytes < head + body)
        return 0;
    *body_r = json_loadb(data + head, body, 0, NULL);
    return head + body;
}

static bool is_http(const char *data, size_t bytes, const char *status)
{
    return bytes >= strlen("HTTP/1.1 101") && strncmp(data, "HTTP/1.1 ", 9) == 0 && strncmp(data + 9, status, 3) == 0;
}

/* Takes off the answers at the beginning of the stream. */
static void take_answers(struct claims *claims, struct claims_stream *stream)
{
    json_t *body = NULL;
    for (size_t bytes; (bytes = answer_bytes(stream->data, stream->bytes, &body)) > 0;) {
        if (is_http(stream->data, bytes, "200") && json_object_get(body, "first") != NULL) {
            claims->erased++;
            claim_first(claims, claims_user(claims, text_of(body, "user")), number_of(body, "first"));
        }
        json_decref(body);
        body = NULL;
        stream->bytes -= bytes;
        memmove(stream->data, stream->data + bytes, stream->bytes);
    }
}

static void take_stream(struct claims *claims, struct claims_stream *stream)
{
    size_t at = 0, header;
    if (!stream->has_head && !is_http(stream->data, stream->bytes, "101")) {
        take_answers(claims, stream);
        return;
    }
    if (!stream->has_head) {
        char *end = memmem(stream->data, stream->bytes, "\r\n\r\n", 4);
        if (end == NULL)
            return;
        stream->has_head = true;
        at = (size_t)(end + 4 - stream->data);
    }
    for (size_t bytes; (bytes = frame_bytes((unsigned char *)stream->data + at, stream->bytes - at, &header)) > 0;
         at += bytes)
        if ((unsigned char)stream->data[at] == 0x81)
            take_frame(claims, stream, stream->data + at + header, bytes - header);
    memmove(stream->data, stream->data + at, stream->bytes - at);
    stream->bytes -= at;
}

void claims_apply(struct claims *claims, const struct trace_record *record, const void *data)
{
    struct claims_stream *stream = &claims->streams[record->node % DESCRIPTORS_MAX];
    if (record->kind == TRACE_LIFE)
        for (int i = 0; i < DESCRIPTORS_MAX; i++)
            end_stream(&claims->streams[i]);
    if (record->kind == TRACE_CLOSE)
        end_stream(stream);
    if (record->kind != TRACE_SEND)
        return;
    if (stream->bytes + record->data_bytes > stream->room) {
        stream->room = 2 * (stream->bytes + record->data_bytes);
        stream->data = disk_memory(stream->data, stream->room);
    }
    memcpy(stream->data + stream->bytes, data, record->data_bytes);
    stream->bytes += record->data_bytes;
    take_stream(claims, stream);
}
