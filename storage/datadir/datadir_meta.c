#include "storage/datadir/datadir_meta.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"

#define FIRST_WORD "chitchat-data "
#define VERSION_WORD "version "
#define CLUSTER_WORD "cluster "
/* The first format with the line of the version. */
#define FORMAT_WITH_VERSION 2u
_Static_assert(sizeof CHITCHAT_VERSION <= DATADIR_VERSION_BYTES, "the version fits its field");

void datadir_meta_set_format(struct datadir_meta *meta)
{
    meta->format = DATADIR_FORMAT;
    (void)snprintf(meta->version, sizeof meta->version, "%s", CHITCHAT_VERSION);
}

void datadir_meta_reader(const struct datadir_meta *meta, char out[DATADIR_READER_BYTES])
{
    if (meta->format < DATADIR_FORMAT_MIN)
        (void)snprintf(out, DATADIR_READER_BYTES, "an older version");
    else if (meta->version[0] == '\0')
        (void)snprintf(out, DATADIR_READER_BYTES, "chitchat of the version that wrote it or a later one");
    else if (strcmp(meta->version, CHITCHAT_VERSION) == 0)
        (void)snprintf(out, DATADIR_READER_BYTES, "a newer build of chitchat %s", meta->version);
    else
        (void)snprintf(out, DATADIR_READER_BYTES, "chitchat %s or a later one", meta->version);
}

size_t datadir_meta_write(const struct datadir_meta *meta, char out[DATADIR_META_BYTES])
{
    char version[sizeof VERSION_WORD + DATADIR_VERSION_BYTES + 1] = "";
    char cluster[sizeof CLUSTER_WORD + DATADIR_CLUSTER_BYTES + 1] = "";
    if (meta->cluster[0] != '\0')
        (void)snprintf(cluster, sizeof cluster, CLUSTER_WORD "%s\n", meta->cluster);
    if (meta->format >= FORMAT_WITH_VERSION)
        (void)snprintf(version, sizeof version, VERSION_WORD "%s\n", meta->version);
    int bytes = snprintf(out, DATADIR_META_BYTES,
                         FIRST_WORD "%u\n%sshards %u\nepoch %s\nname_seed %016" PRIx64 "%016" PRIx64
                                    "\nkey_seed %016" PRIx64 "%016" PRIx64 "\n%s",
                         meta->format, version, meta->shards, meta->epoch, meta->name_seed.k0, meta->name_seed.k1,
                         meta->key_seed.k0, meta->key_seed.k1, cluster);
    ASSERT(bytes > 0 && (size_t)bytes < DATADIR_META_BYTES);
    size_t used = (size_t)bytes;
    bytes = snprintf(out + used, DATADIR_META_BYTES - used, "crc32c %08x\n", hash_crc32c(0, out, used));
    ASSERT(bytes > 0 && used + (size_t)bytes < DATADIR_META_BYTES);
    return used + (size_t)bytes;
}

/* Takes `word` off the front of `text`. */
static bool take_word(struct span *text, const char *word)
{
    size_t bytes = strlen(word);
    if (text->bytes < bytes || memcmp(text->data, word, bytes) != 0)
        return false;
    text->data += bytes;
    text->bytes -= bytes;
    return true;
}

/* Takes a number of 1 to 9 digits and the end of its line. */
static bool take_number(struct span *text, uint32_t *value_r)
{
    uint32_t value = 0;
    size_t digits = 0;
    for (; digits < text->bytes && digits < 9 && text->data[digits] >= '0' && text->data[digits] <= '9'; digits++)
        value = value * 10 + (uint32_t)(text->data[digits] - '0');
    if (digits == 0)
        return false;
    text->data += digits;
    text->bytes -= digits;
    *value_r = value;
    return take_word(text, "\n");
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool take_hex(struct span *text, unsigned digits, uint64_t *value_r)
{
    uint64_t value = 0;
    if (text->bytes < digits)
        return false;
    for (unsigned i = 0; i < digits; i++) {
        int digit = digit_of(text->data[i]);
        if (digit < 0)
            return false;
        value = value << 4 | (unsigned)digit;
    }
    text->data += digits;
    text->bytes -= digits;
    *value_r = value;
    return true;
}

static bool take_key(struct span *text, const char *word, struct hash_key *key_r)
{
    return take_word(text, word) && take_hex(text, 16, &key_r->k0) && take_hex(text, 16, &key_r->k1)
           && take_word(text, "\n");
}

/* Takes a line of `word` and 1 to `room` - 1 printable characters, which go to `out`. */
static bool take_name(struct span *text, const char *word, char *out, size_t room)
{
    size_t bytes = 0;
    if (!take_word(text, word))
        return false;
    while (bytes < text->bytes && bytes < room - 1 && text->data[bytes] > 0x20 && text->data[bytes] < 0x7f)
        bytes++;
    memcpy(out, text->data, bytes);
    out[bytes] = '\0';
    text->data += bytes;
    text->bytes -= bytes;
    bool is_whole = bytes > 0 && take_word(text, "\n");
    if (!is_whole)
        out[0] = '\0';
    return is_whole;
}

int datadir_meta_read(struct span text, struct datadir_meta *meta_r)
{
    struct span at = text;
    struct hash_key epoch;
    uint64_t crc;
    meta_r->version[0] = meta_r->cluster[0] = '\0';
    if (!take_word(&at, FIRST_WORD) || !take_number(&at, &meta_r->format))
        return -EBADMSG;
    bool has_version =
        meta_r->format < FORMAT_WITH_VERSION || take_name(&at, VERSION_WORD, meta_r->version, sizeof meta_r->version);
    if (meta_r->format < DATADIR_FORMAT_MIN || meta_r->format > DATADIR_FORMAT)
        return -EPROTO;
    if (!has_version)
        return -EBADMSG;
    if (!take_word(&at, "shards ") || !take_number(&at, &meta_r->shards) || !take_key(&at, "epoch ", &epoch)
        || !take_key(&at, "name_seed ", &meta_r->name_seed) || !take_key(&at, "key_seed ", &meta_r->key_seed))
        return -EBADMSG;
    (void)take_name(&at, CLUSTER_WORD, meta_r->cluster, sizeof meta_r->cluster);
    uint32_t expected = hash_crc32c(0, text.data, text.bytes - at.bytes);
    if (!take_word(&at, "crc32c ") || !take_hex(&at, 8, &crc) || !take_word(&at, "\n") || at.bytes != 0)
        return -EBADMSG;
    if (crc != expected || meta_r->shards < 1 || meta_r->shards > LIMIT_SHARDS)
        return -EBADMSG;
    (void)snprintf(meta_r->epoch, sizeof meta_r->epoch, "%016" PRIx64 "%016" PRIx64, epoch.k0, epoch.k1);
    return 0;
}

#define BACKUP_WORD "chitchat-backup 1 "

size_t datadir_backup_write(const struct datadir_meta *meta, uint64_t wall_us, char out[DATADIR_BACKUP_BYTES])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t used =
        strftime(out, DATADIR_BACKUP_BYTES - DATADIR_META_BYTES, BACKUP_WORD "made %Y-%m-%dT%H:%M:%SZ\n", &parts);
    ASSERT(used > 0);
    return used + datadir_meta_write(meta, out + used);
}

bool datadir_backup_skip(struct span *text)
{
    const char *end = memchr(text->data, '\n', text->bytes);
    if (end == NULL || !take_word(text, BACKUP_WORD))
        return false;
    text->bytes -= (size_t)(end + 1 - text->data);
    text->data = end + 1;
    return true;
}
