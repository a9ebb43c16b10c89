#include "cli/dump_line.h"

#include <string.h>

#include "auth/base64url.h"
#include "base/assert.h"
#include "protocol/json_put.h"
#include "protocol/reply.h"
#include "protocol/request.h"

static char *put_field(char *at, const char *name, struct span value)
{
    at = json_put_span(at, span_of(name));
    return JSON_PUT(json_put_escaped(at, value), "\"");
}

size_t dump_line_write(char *line, struct span user, const struct message *message, bool is_alone)
{
    char *at = put_field(line, "{\"user\":\"", user);
    at = json_put_unsigned(JSON_PUT(at, ",\"ts\":"), message->ts);
    if (message->role != ROLE_SELF)
        at = json_put_unsigned(JSON_PUT(at, ",\"other_ts\":"), message->other_ts);
    if (is_alone)
        at = JSON_PUT(at, ",\"alone\":true");
    at = JSON_PUT(at, ",\"mid\":\"");
    reply_write_mid(at, message->mid);
    at = JSON_PUT(at + LIMIT_MID_CHARS, "\"");
    at = put_field(at, ",\"from\":\"", message->from);
    at = put_field(at, ",\"to\":\"", message->to);
    at = put_field(at, ",\"text\":\"", message->text);
    if (message->key.bytes > 0)
        at = put_field(at, ",\"key\":\"", message->key);
    at = JSON_PUT(at, "}\n");
    ASSERT((size_t)(at - line) <= DUMP_LINE_BYTES_MAX);
    return (size_t)(at - line);
}

size_t dump_line_write_first(char *line, struct span user, uint64_t first)
{
    char *at = JSON_PUT(line, "{");
    if (user.bytes > 0)
        at = JSON_PUT(put_field(at, "\"user\":\"", user), ",");
    at = json_put_unsigned(JSON_PUT(at, "\"first\":"), first);
    at = JSON_PUT(at, "}\n");
    ASSERT((size_t)(at - line) <= DUMP_LINE_BYTES_MAX);
    return (size_t)(at - line);
}

size_t dump_line_write_marks(char *line, struct span user, struct span peer, struct seen_marks marks)
{
    ASSERT(user.bytes > 0 && peer.bytes > 0);
    char *at = put_field(line, "{\"user\":\"", user);
    at = put_field(at, ",\"with\":\"", peer);
    if (marks.seen > 0)
        at = json_put_unsigned(JSON_PUT(at, ",\"seen\":"), marks.seen);
    if (marks.seen_by > 0)
        at = json_put_unsigned(JSON_PUT(at, ",\"seen_by\":"), marks.seen_by);
    at = JSON_PUT(at, "}\n");
    ASSERT((size_t)(at - line) <= DUMP_LINE_BYTES_MAX);
    return (size_t)(at - line);
}

/* -- read -- */

enum field {
    FIELD_USER,
    FIELD_FIRST,
    FIELD_TS,
    FIELD_OTHER_TS,
    FIELD_ALONE,
    FIELD_MID,
    FIELD_FROM,
    FIELD_TO,
    FIELD_TEXT,
    FIELD_KEY,
    FIELD_WITH,
    FIELD_SEEN,
    FIELD_SEEN_BY,
    FIELDS
};

static const char *const names[FIELDS] = {"user", "first", "ts",  "other_ts", "alone", "mid",    "from",
                                          "to",   "text",  "key", "with",     "seen",  "seen_by"};

static struct span string_of(const struct json_member *member)
{
    return member != NULL && member->kind == JSON_KIND_STRING ? member->value : (struct span){NULL, 0};
}

static bool take_ts(const struct json_member *member, uint64_t *ts_r)
{
    int64_t value;
    if (member == NULL || !json_member_integer(member, &value) || value < 1 || (uint64_t)value > LIMIT_TS_MAX)
        return false;
    *ts_r = (uint64_t)value;
    return true;
}

static bool is_name(struct span name)
{
    return name.data != NULL && request_is_user_name(name);
}

static bool is_text(struct span text, size_t bytes_max)
{
    return text.data != NULL && text.bytes >= 1 && text.bytes <= bytes_max
           && memchr(text.data, '\0', text.bytes) == NULL;
}

/* Which side of the message the timeline is, and what that side has. */
static const char *take_role(const struct json_member *const *members, struct dump_line *entry)
{
    struct message *message = &entry->message;
    bool is_sender = span_equal(entry->user, message->from), is_recipient = span_equal(entry->user, message->to);
    if (!is_sender && !is_recipient)
        return "\"user\" is neither \"from\" nor \"to\"";
    message->role = !is_sender ? ROLE_RECEIVED : is_recipient ? ROLE_SELF : ROLE_SENT;
    message->other_ts = message->ts;
    if (message->role == ROLE_SELF && members[FIELD_OTHER_TS] != NULL)
        return "a message to oneself has no \"other_ts\"";
    if (message->role == ROLE_SELF && entry->is_alone)
        return "a message to oneself is never \"alone\"";
    if (message->role != ROLE_SELF && !take_ts(members[FIELD_OTHER_TS], &message->other_ts))
        return "it has no \"other_ts\", a number from 1 to 2^53 - 1: make the dump with this version";
    message->key = (struct span){message->text.data, 0};
    if (members[FIELD_KEY] == NULL)
        return NULL;
    if (message->role == ROLE_RECEIVED)
        return "the recipient's entry has no \"key\"";
    message->key = string_of(members[FIELD_KEY]);
    return is_text(message->key, LIMIT_KEY_BYTES) ? NULL : "\"key\" is no string of 1 to 64 bytes";
}

static const char *take_fields(const struct json_member *const *members, struct dump_line *entry)
{
    struct message *message = &entry->message;
    struct span mid = string_of(members[FIELD_MID]);
    size_t mid_bytes = 0;
    entry->user = string_of(members[FIELD_USER]);
    message->from = string_of(members[FIELD_FROM]);
    message->to = string_of(members[FIELD_TO]);
    message->text = string_of(members[FIELD_TEXT]);
    message->mid = entry->mid;
    if (!is_name(entry->user) || !is_name(message->from) || !is_name(message->to))
        return "\"user\", \"from\" or \"to\" is no user name";
    if (!take_ts(members[FIELD_TS], &message->ts))
        return "\"ts\" is no number from 1 to 2^53 - 1";
    if (mid.bytes != LIMIT_MID_CHARS || !base64url_decode(mid, entry->mid, LIMIT_MID_BYTES, &mid_bytes))
        return "\"mid\" is no text of 20 characters of base64url";
    if (!is_text(message->text, LIMIT_TEXT_BYTES))
        return "\"text\" is no string of 1 to 16384 bytes";
    entry->is_alone = members[FIELD_ALONE] != NULL;
    if (entry->is_alone && members[FIELD_ALONE]->kind != JSON_KIND_TRUE)
        return "\"alone\" is not true: where the other copy is there, leave it out";
    return take_role(members, entry);
}

static const char *take_first(const struct json_member *const *members, uint32_t found, struct dump_line *line)
{
    bool has_user = members[FIELD_USER] != NULL;
    line->user = has_user ? string_of(members[FIELD_USER]) : (struct span){"", 0};
    if (found != 1 + (uint32_t)has_user)
        return "a line with \"first\" has \"user\" besides, and nothing else";
    if (has_user && !is_name(line->user))
        return "\"user\" is no user name";
    return take_ts(members[FIELD_FIRST], &line->first) ? NULL : "\"first\" is no number from 1 to 2^53 - 1";
}

static const char *take_marks(const struct json_member *const *members, uint32_t found, struct dump_line *line)
{
    bool has_seen = members[FIELD_SEEN] != NULL, has_seen_by = members[FIELD_SEEN_BY] != NULL;
    line->user = string_of(members[FIELD_USER]);
    line->with = string_of(members[FIELD_WITH]);
    line->marks = (struct seen_marks){0, 0};
    if (!is_name(line->user) || !is_name(line->with))
        return "\"user\" or \"with\" is no user name";
    if (found != 2 + (uint32_t)has_seen + has_seen_by || found == 2)
        return "a line with \"with\" has \"user\", and \"seen\", \"seen_by\" or both, and nothing else";
    if ((has_seen && !take_ts(members[FIELD_SEEN], &line->marks.seen))
        || (has_seen_by && !take_ts(members[FIELD_SEEN_BY], &line->marks.seen_by)))
        return "\"seen\" or \"seen_by\" is no number from 1 to 2^53 - 1";
    return NULL;
}

const char *dump_line_read(struct json_reader *reader, char *line, size_t bytes, struct dump_line *line_r)
{
    const struct json_member *members[FIELDS];
    const char *reason;
    if (!json_read_object(reader, line, bytes, &reason))
        return reason;
    uint32_t found = 0;
    for (int i = 0; i < FIELDS; i++) {
        members[i] = json_find(reader, span_of(names[i]));
        found += members[i] != NULL;
    }
    if (json_member_count(reader) != found)
        return "it has a field that this version does not know";
    line_r->first = 0;
    line_r->with = (struct span){NULL, 0};
    if (members[FIELD_WITH] != NULL)
        return take_marks(members, found, line_r);
    if (members[FIELD_SEEN] != NULL || members[FIELD_SEEN_BY] != NULL)
        return "\"seen\" and \"seen_by\" stand in a line with \"with\"";
    return members[FIELD_FIRST] != NULL ? take_first(members, found, line_r) : take_fields(members, line_r);
}
