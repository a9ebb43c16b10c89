/* --auth token: what a token allows, when it ends a connection, and how another one extends it. */
#include <criterion/criterion.h>

#include <sys/stat.h>
#include <unistd.h>

#include "auth/token_sign.h"
#include "harness.h"

TestSuite(tokens, .timeout = 30);

#define SECRET_A "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE\n"
#define SECRET_B "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI\n"
#define NOW_S UINT64_C(1763900000)
#define SECOND 1000000

/* A harness with tokens, and what signs them. */
struct scene {
    char file[32];
    struct harness *harness;
    struct token_signer *signer;
};

static void write_secrets(struct scene *scene, const char *secrets)
{
    FILE *file = fopen(scene->file, "w");
    cr_assert_not_null(file);
    cr_assert(fputs(secrets, file) >= 0);
    fclose(file);
}

static struct scene scene_open_limited(uint32_t history_rate)
{
    struct scene scene = {.file = "/tmp/chitchat-secrets-XXXXXX"};
    struct token_error error;
    int fd = mkstemp(scene.file);
    cr_assert(fd >= 0);
    close(fd);
    write_secrets(&scene, SECRET_A);
    cr_assert(token_signer_open_secret(&scene.signer, scene.file, &error), "%s", error.text);
    scene.harness = harness_open(&(struct harness_options){
        .shards = 2, .token_secrets = scene.file, .wall_us = NOW_S * UINT64_C(1000000), .history_rate = history_rate});
    return scene;
}

static struct scene scene_open(void)
{
    return scene_open_limited(0);
}

static void scene_close(struct scene *scene)
{
    harness_close(scene->harness);
    token_signer_close(&scene->signer);
    cr_assert_eq(unlink(scene->file), 0);
}

/* A token of `user` that expires at `expires_s`. Static memory. */
static const char *token_of(struct scene *scene, const char *user, uint64_t expires_s)
{
    static char token[TOKEN_BYTES_MAX + 1];
    size_t bytes;
    struct token_grant grant = {
        .user = span_of(user), .user_claim = SPAN_LITERAL("sub"), .issued_s = NOW_S, .expires_s = expires_s};
    cr_assert(token_sign(scene->signer, &grant, token, &bytes));
    token[bytes] = '\0';
    return token;
}

static void send_token(struct scene *scene, struct client *client, const char *user, uint64_t expires_s)
{
    client_send(client, "{\"op\":\"login\",\"id\":1,\"token\":\"%s\"}", token_of(scene, user, expires_s));
    harness_run_until_idle(scene->harness);
}

/* Connected to shard 0. */
static struct client *log_in(struct scene *scene, const char *user, uint64_t expires_s)
{
    struct client *client = client_connect(scene->harness, 0);
    send_token(scene, client, user, expires_s);
    json_t *reply = client_expect(client, "ok");
    cr_assert_str_eq(frame_text(reply, "user"), user);
    cr_assert_str_eq(frame_text(reply, "auth"), "token");
    json_decref(reply);
    return client;
}

static void expect_bad_token(struct client *client, const char *said)
{
    json_t *frame = client_expect(client, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "bad_token");
    cr_assert_not_null(strstr(frame_text(frame, "message"), said), "%s", frame_text(frame, "message"));
    json_decref(frame);
    frame = client_next(client);
    cr_assert_not_null(frame);
    cr_assert_eq(frame_number(frame, "close"), 4101);
    json_decref(frame);
}

/* Moves the time in steps of ten seconds, in which the client answers pings, so that it is never silent. */
static void live_for(struct scene *scene, struct client *client, uint64_t seconds)
{
    for (uint64_t left = seconds; left > 0;) {
        uint64_t step = left < 10 ? left : 10;
        client_send_frame(client, FRAME_PONG, "", 0);
        harness_advance(scene->harness, (int64_t)step * SECOND);
        harness_run_until_idle(scene->harness);
        left -= step;
    }
}

static bool is_alive(struct scene *scene, struct client *client)
{
    client_send(client, "{\"op\":\"ping\",\"id\":9}");
    harness_run_until_idle(scene->harness);
    json_t *frame = client_next(client);
    bool is_answered = frame != NULL && json_object_get(frame, "op") != NULL;
    json_decref(frame);
    return is_answered;
}

static void expect_expired(struct client *client)
{
    json_t *frame = client_next(client);
    cr_assert_not_null(frame, "it is still open");
    cr_assert_eq(frame_number(frame, "close"), 4101);
    json_decref(frame);
}

Test(tokens, a_token_logs_in_the_user_that_it_names_also_one_of_another_shard)
{
    struct scene scene = scene_open();
    for (uint32_t shard = 0; shard < 2; shard++) {
        struct client *client = log_in(&scene, harness_name(scene.harness, shard, 0), NOW_S + 60);
        cr_assert(is_alive(&scene, client));
    }
    scene_close(&scene);
}

Test(tokens, a_user_beside_the_token_must_be_its_user)
{
    struct scene scene = scene_open();
    const char *user = harness_name(scene.harness, 1, 0);
    struct client *client = client_connect(scene.harness, 0);
    client_send(client, "{\"op\":\"login\",\"user\":\"%s\",\"token\":\"%s\"}", user,
                token_of(&scene, user, NOW_S + 60));
    harness_run_until_idle(scene.harness);
    json_decref(client_expect(client, "ok"));
    client = client_connect(scene.harness, 0);
    client_send(client, "{\"op\":\"login\",\"user\":\"%s2\",\"token\":\"%s\"}", user,
                token_of(&scene, user, NOW_S + 60));
    harness_run_until_idle(scene.harness);
    expect_bad_token(client, "another user");
    scene_close(&scene);
}

Test(tokens, without_a_good_token_there_is_an_error_and_then_the_close)
{
    struct scene scene = scene_open();
    static const char *const bad[][2] = {{"\"user\":\"alice\"", "wants a token"},
                                         {"\"user\":\"alice\",\"token\":7", "wants a token"},
                                         {"\"token\":null", "wants a token"},
                                         {"\"token\":\"a.b.c\"", "no base64url"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct client *client = client_connect(scene.harness, 0);
        client_send(client, "{\"op\":\"login\",\"id\":1,%s}", bad[i][0]);
        harness_run_until_idle(scene.harness);
        expect_bad_token(client, bad[i][1]);
    }
    struct client *client = client_connect(scene.harness, 0);
    send_token(&scene, client, "alice", NOW_S - 31);
    expect_bad_token(client, "expired");
    cr_assert_eq(metric_read(&harness_core(scene.harness, 0)->refusals.counts[REFUSAL_TOKEN]), 5);
    scene_close(&scene);
}

Test(tokens, fields_that_are_wrong_are_the_answer_before_the_token_is_looked_at)
{
    struct scene scene = scene_open();
    struct client *client = client_connect(scene.harness, 0);
    client_send(client, "{\"op\":\"login\",\"id\":1,\"token\":\"a.b.c\",\"after\":-1}");
    harness_run_until_idle(scene.harness);
    json_t *frame = client_expect(client, "error");
    cr_assert_str_eq(frame_text(frame, "code"), "bad_request");
    json_decref(frame);
    send_token(&scene, client, "alice", NOW_S + 60);
    json_decref(client_expect(client, "ok"));
    scene_close(&scene);
}

static void expires(uint32_t shard_of_user)
{
    struct scene scene = scene_open();
    struct client *client = log_in(&scene, harness_name(scene.harness, shard_of_user, 0), NOW_S + 60);
    live_for(&scene, client, 60 + TOKEN_LEEWAY_S - 1);
    cr_assert(is_alive(&scene, client));
    live_for(&scene, client, 2);
    expect_expired(client);
    scene_close(&scene);
}

Test(tokens, the_connection_is_closed_when_its_token_has_expired_and_not_before)
{
    expires(0);
}

Test(tokens, the_time_goes_along_to_the_shard_of_the_user)
{
    expires(1);
}

Test(tokens, a_token_that_expires_later_than_pings_are_due_leaves_pings_as_they_are)
{
    struct scene scene = scene_open();
    struct client *client = log_in(&scene, harness_name(scene.harness, 1, 0), NOW_S + 3600);
    for (int i = 0; i < 4; i++) {
        harness_advance(scene.harness, 26 * SECOND);
        harness_run_until_idle(scene.harness);
    }
    json_t *frame = client_next(client);
    cr_assert_eq(frame_number(frame, "close"), 4002, "silent");
    json_decref(frame);
    scene_close(&scene);
}

Test(tokens, a_newer_token_of_the_same_user_extends_and_an_older_one_shortens_nothing)
{
    struct scene scene = scene_open();
    const char *user = harness_name(scene.harness, 1, 0);
    struct client *client = log_in(&scene, user, NOW_S + 60);
    send_token(&scene, client, user, NOW_S + 200);
    json_decref(client_expect(client, "ok"));
    send_token(&scene, client, user, NOW_S + 10);
    json_decref(client_expect(client, "ok"));
    live_for(&scene, client, 200 + TOKEN_LEEWAY_S - 1);
    cr_assert(is_alive(&scene, client));
    live_for(&scene, client, 2);
    expect_expired(client);
    scene_close(&scene);
}

Test(tokens, logins_that_extend_have_the_rate_of_requests_for_history)
{
    struct scene scene = scene_open_limited(2);
    const char *user = harness_name(scene.harness, 1, 0);
    struct client *client = log_in(&scene, user, NOW_S + 60);
    for (uint32_t i = 0; i < 2; i++) {
        send_token(&scene, client, user, NOW_S + 90 + i);
        json_decref(client_expect(client, "ok"));
    }
    send_token(&scene, client, user, NOW_S + 95);
    json_t *error = client_expect(client, "error");
    cr_assert_str_eq(frame_text(error, "code"), "rate_limited");
    cr_assert_gt(frame_number(error, "retry_after"), 0);
    json_decref(error);
    live_for(&scene, client, 1);
    send_token(&scene, client, user, NOW_S + 95);
    json_decref(client_expect(client, "ok"));
    scene_close(&scene);
}

Test(tokens, a_login_that_extends_is_answered_as_a_login_and_its_after_is_ignored)
{
    struct scene scene = scene_open();
    const char *user = harness_name(scene.harness, 1, 0);
    struct client *client = log_in(&scene, user, NOW_S + 60);
    client_send(client, "{\"op\":\"send\",\"id\":2,\"to\":\"bob\",\"text\":\"hi\"}");
    harness_run_until_idle(scene.harness);
    json_t *sent = client_expect(client, "ok");
    client_send(client, "{\"op\":\"login\",\"id\":3,\"after\":0,\"epoch\":\"other\",\"token\":\"%s\"}",
                token_of(&scene, user, NOW_S + 90));
    harness_run_until_idle(scene.harness);
    json_t *reply = client_next(client);
    cr_assert_str_eq(frame_text(reply, "op"), "ok");
    cr_assert_eq(frame_number(reply, "id"), 3);
    cr_assert_eq(frame_number(reply, "last"), frame_number(sent, "ts"));
    cr_assert_str_eq(frame_text(reply, "user"), user);
    cr_assert_null(json_object_get(reply, "reset"));
    cr_assert_null(client_next(client), "no replay and no live");
    json_decref(sent);
    json_decref(reply);
    scene_close(&scene);
}

Test(tokens, a_bad_token_or_that_of_another_user_ends_a_logged_in_connection)
{
    struct scene scene = scene_open();
    const char *user = harness_name(scene.harness, 1, 0);
    struct client *client = log_in(&scene, user, NOW_S + 60);
    send_token(&scene, client, harness_name(scene.harness, 1, 1), NOW_S + 60);
    expect_bad_token(client, "another user than the one who is logged in");
    client = log_in(&scene, user, NOW_S + 60);
    send_token(&scene, client, user, NOW_S - 31);
    expect_bad_token(client, "expired");
    client = log_in(&scene, user, NOW_S + 60);
    client_send(client, "{\"op\":\"login\",\"user\":\"%s\"}", user);
    harness_run_until_idle(scene.harness);
    expect_bad_token(client, "wants a token");
    scene_close(&scene);
}

/* Main's thread posts a set to each shard. */
static void post_keys(struct scene *scene)
{
    struct token_files files = {.secrets = scene->file};
    struct token_keys *keys;
    struct token_error error;
    cr_assert(token_keys_load(&keys, &files, &error), "%s", error.text);
    for (uint32_t i = 0; i < 2; i++)
        tokens_post(&harness_core(scene->harness, i)->tokens, keys);
    token_keys_unref(&keys);
}

Test(tokens, new_keys_count_from_the_next_login_on_and_end_no_connection)
{
    struct scene scene = scene_open();
    const char *user = harness_name(scene.harness, 1, 0);
    struct client *client = log_in(&scene, user, NOW_S + 600);
    write_secrets(&scene, SECRET_B SECRET_A);
    post_keys(&scene);
    struct client *other = log_in(&scene, user, NOW_S + 600);
    write_secrets(&scene, SECRET_B);
    post_keys(&scene);
    post_keys(&scene);
    struct client *late = client_connect(scene.harness, 0);
    send_token(&scene, late, user, NOW_S + 600);
    expect_bad_token(late, "signature is wrong");
    cr_assert(is_alive(&scene, client) && is_alive(&scene, other));
    scene_close(&scene);
}

/* The most counted work of a turn in which shard 0 reads the frame. */
static uint64_t work_of(struct scene *scene, struct client *client, const char *frame)
{
    struct turn *turn = &harness_core(scene->harness, 0)->turn;
    client_send(client, "%s", frame);
    turn->longest_work_ns = 0;
    harness_run_until_idle(scene->harness);
    json_decref(client_expect(client, "ok"));
    return turn->longest_work_ns;
}

/* So bad tokens end a turn, instead of delaying all others. */
Test(tokens, a_verified_signature_counts_as_work_of_the_turn)
{
    char frame[1024], ping[1024];
    struct scene scene = scene_open();
    const char *user = harness_name(scene.harness, 0, 0);
    struct client *client = log_in(&scene, user, NOW_S + 60);
    (void)snprintf(frame, sizeof frame, "{\"op\":\"login\",\"token\":\"%s\"}", token_of(&scene, user, NOW_S + 60));
    (void)snprintf(ping, sizeof ping, "{\"op\":\"ping\",\"x\":\"%0*d\"}", (int)strlen(frame) - 20, 0);
    uint64_t ping_ns = work_of(&scene, client, ping);
    cr_assert_eq(work_of(&scene, client, ping), ping_ns);
    cr_assert_geq(work_of(&scene, client, frame), ping_ns + UINT64_C(10) * turn_limits[TURN_INPUT].ns);
    scene_close(&scene);
}
