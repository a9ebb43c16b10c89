/* What does a letter from one shard to another cost: on one thread; in a flood between two threads; there and back
 * between two that poll; and there and back between two that sleep (with the wake-ups of the real loop)? */
#include <pthread.h>

#include "micro/micro.h"
#include "shard/io.h"
#include "shard/mailbox.h"

#define CAPACITY 4096u

static void *letter_of(uint64_t number)
{
    return (void *)(uintptr_t)number;
}

static void post(struct mailbox *mailbox, uint64_t number)
{
    bool is_posted = mailbox_post(mailbox, letter_of(number));
    ASSERT(is_posted);
}

static void gather(struct io *io, uint64_t wait_us)
{
    int status = io_gather(io, wait_us);
    ASSERT(status >= 0);
}

static void post_and_take(void *context, uint64_t rounds)
{
    struct mailbox *mailbox = context;
    for (uint64_t i = 1; i <= rounds; i++) {
        post(mailbox, i);
        void *letter = mailbox_take(mailbox);
        ASSERT(letter == letter_of(i));
    }
}

/* Two threads: this one, whose rounds are counted, and the other. */
struct pair {
    struct mailbox *there, *back;
    uint64_t rounds;
    struct io *ios[2];
    struct sleeper sleepers[2];
};

static void take_spinning(struct mailbox *mailbox, uint64_t number)
{
    void *letter;
    while ((letter = mailbox_take(mailbox)) == NULL)
        __builtin_ia32_pause();
    ASSERT(letter == letter_of(number));
}

static void *take_flood(void *context)
{
    struct pair *pair = context;
    for (uint64_t i = 1; i <= pair->rounds; i++)
        take_spinning(pair->there, i);
    return NULL;
}

static void *echo_spinning(void *context)
{
    struct pair *pair = context;
    for (uint64_t i = 1; i <= pair->rounds; i++) {
        take_spinning(pair->there, i);
        post(pair->back, i);
    }
    return NULL;
}

static pthread_t begin(struct pair *pair, uint64_t rounds, void *(*other)(void *))
{
    pthread_t thread;
    pair->rounds = rounds;
    micro_must(pthread_create(&thread, NULL, other, pair));
    return thread;
}

static void flood(void *context, uint64_t rounds)
{
    struct pair *pair = context;
    pthread_t thread = begin(pair, rounds, take_flood);
    for (uint64_t i = 1; i <= rounds; i++)
        while (!mailbox_post(pair->there, letter_of(i)))
            __builtin_ia32_pause();
    pthread_join(thread, NULL);
}

static void ask_spinning(void *context, uint64_t rounds)
{
    struct pair *pair = context;
    pthread_t thread = begin(pair, rounds, echo_spinning);
    for (uint64_t i = 1; i <= rounds; i++) {
        post(pair->there, i);
        take_spinning(pair->back, i);
    }
    pthread_join(thread, NULL);
}

/* As a shard does: wakes the other thread with the next submit if it sleeps; then announces that it may sleep, checks
 * the mailbox again, and sleeps. */
static void take_sleeping(struct pair *pair, uint32_t self, struct mailbox *mailbox, uint64_t number)
{
    void *letter;
    if (sleeper_must_wake(&pair->sleepers[1 - self]))
        io_wake(pair->ios[self], pair->ios[1 - self]);
    while ((letter = mailbox_take(mailbox)) == NULL) {
        sleeper_prepare(&pair->sleepers[self]);
        gather(pair->ios[self], mailbox_is_empty(mailbox) ? 1000000 : 0);
        sleeper_awake(&pair->sleepers[self]);
    }
    ASSERT(letter == letter_of(number));
}

static void open_loop(struct io **io_r)
{
    static const struct io_handlers handlers = {0};
    static const struct io_options options = {.recv_buffer_bytes = 4096, .recv_buffer_count = 16};
    micro_must(io_open(io_r, &options, &handlers, NULL));
}

static void *echo_sleeping(void *context)
{
    struct pair *pair = context;
    for (uint64_t i = 1; i <= pair->rounds; i++) {
        take_sleeping(pair, 1, pair->there, i);
        post(pair->back, i);
    }
    if (sleeper_must_wake(&pair->sleepers[0]))
        io_wake(pair->ios[1], pair->ios[0]);
    gather(pair->ios[1], 0);
    return NULL;
}

/* A loop belongs to the thread that first uses it, so each call opens new ones. */
static void ask_sleeping(void *context, uint64_t rounds)
{
    struct pair *pair = context;
    open_loop(&pair->ios[0]);
    open_loop(&pair->ios[1]);
    gather(pair->ios[0], 0);
    pthread_t thread = begin(pair, rounds, echo_sleeping);
    for (uint64_t i = 1; i <= rounds; i++) {
        post(pair->there, i);
        take_sleeping(pair, 0, pair->back, i);
    }
    pthread_join(thread, NULL);
    io_close_loop(&pair->ios[0]);
    io_close_loop(&pair->ios[1]);
}

int main(void)
{
    struct micro micro = {.program = "mailbox"};
    struct pair pair = {0};
    micro_must(mailbox_open(&pair.there, CAPACITY));
    micro_must(mailbox_open(&pair.back, CAPACITY));
    micro_run(&micro, "post and take on one thread", 1, post_and_take, pair.there);
    micro_run(&micro, "flood between two threads, per letter", 1, flood, &pair);
    micro_run(&micro, "there and back, both looking all the time", 1, ask_spinning, &pair);
    micro_run(&micro, "there and back, both asleep in their loops", 1, ask_sleeping, &pair);
    mailbox_close(&pair.there);
    mailbox_close(&pair.back);
    micro_end(&micro);
    return 0;
}
