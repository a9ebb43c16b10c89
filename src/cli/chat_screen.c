#include "cli/chat_screen.h"

#include <histedit.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "base/assert.h"
#include "cli/show.h"
#include "cli/talk.h"

#define PROMPT_BYTES 512u
#define LINE_BYTES 2048u
#define HISTORY_LINES 500
#define COLUMNS_DEFAULT 80u
/* Around what takes no room in a prompt, for libedit. */
#define PROMPT_MARK '\1'

#define STYLE_DIM "\033[2m"
#define STYLE_RED "\033[31m"
#define STYLE_MINE "\033[1m"
#define STYLE_THEIRS "\033[1;36m"
#define STYLE_END "\033[0m"

struct chat_screen {
    chat_screen_on_turn *on_turn;
    chat_screen_on_tab *on_tab;
    void *context;
    EditLine *edit;   /* owned */
    History *history; /* owned */
    bool has_colours;
    bool is_editing; /* the prompt and a line are on the screen */
    bool is_changed; /* the prompt is another one than on the screen */
    uint32_t columns;
    char prompt[PROMPT_BYTES]; /* with marks and styles, for libedit */
    uint32_t prompt_columns;   /* without them */
    uint32_t shown_columns;    /* those of the prompt on the screen */
    struct buffer out;         /* lines for the next update */
    char day[16];              /* of the newest message that was shown */
    char input[64];            /* bytes from stdin that are no whole character yet, or wait */
    size_t input_bytes;
    char *line; /* owned; the newest that was read */
};

/* -- where the cursor is -- */

static uint32_t columns_of_terminal(void)
{
    struct winsize size;
    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : COLUMNS_DEFAULT;
}

/* Walks over `text` as libedit writes it; *column and *row are those behind it. */
static void walk(struct span text, uint32_t columns, uint32_t *column, uint32_t *row)
{
    mbstate_t state = {0};
    ASSERT(columns > 0);
    while (text.bytes > 0) {
        wchar_t character;
        size_t bytes = mbrtowc(&character, text.data, text.bytes, &state);
        int width = 1;
        if (bytes == (size_t)-1 || bytes == (size_t)-2 || bytes == 0)
            bytes = 1;
        else if ((width = wcwidth(character)) < 0)
            width = character < 0x20 || character == 0x7f ? 2 : 8; /* ^X, or \U+xxxxx */
        if (*column + (uint32_t)width > columns) {
            *column = 0;
            (*row)++;
        }
        *column += (uint32_t)width;
        if (*column >= columns) {
            *column = 0;
            (*row)++;
        }
        text = (struct span){text.data + bytes, text.bytes - bytes};
    }
}

/* How many rows are above the cursor, which stands behind `text` of the line. */
static uint32_t rows_above(const struct chat_screen *screen, struct span text)
{
    uint32_t column = screen->shown_columns % screen->columns, row = screen->shown_columns / screen->columns;
    walk(text, screen->columns, &column, &row);
    return row;
}

/* Clears from the first row of the prompt on. */
static void put_clear(struct buffer *out, uint32_t rows)
{
    char text[32] = "\r\033[J";
    if (rows > 0)
        (void)snprintf(text, sizeof text, "\r\033[%uA\033[J", rows);
    show_put_raw(out, text);
}

/* -- lines -- */

static void put_style(const struct chat_screen *screen, struct buffer *out, const char *style)
{
    if (screen->has_colours)
        show_put_raw(out, style);
}

static void put_line(struct chat_screen *screen, const char *style, const char *format, va_list arguments)
{
    char text[LINE_BYTES];
    (void)vsnprintf(text, sizeof text, format, arguments);
    put_style(screen, &screen->out, style);
    show_put(&screen->out, span_of(text), SHOW_LINE);
    put_style(screen, &screen->out, STYLE_END);
    show_put_raw(&screen->out, "\r\n");
}

void chat_screen_notice(struct chat_screen *screen, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_line(screen, STYLE_DIM, format, arguments);
    va_end(arguments);
}

void chat_screen_error(struct chat_screen *screen, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_line(screen, STYLE_RED, format, arguments);
    va_end(arguments);
}

static void put_day(struct chat_screen *screen, uint64_t ts)
{
    struct buffer day = {0};
    show_put_time(&day, ts, "%Y-%m-%d");
    if (day.bytes != strlen(screen->day) || memcmp(day.data, screen->day, day.bytes) != 0) {
        (void)snprintf(screen->day, sizeof screen->day, "%.*s", (int)day.bytes, day.data);
        put_style(screen, &screen->out, STYLE_DIM);
        show_put_raw(&screen->out, "--- ");
        show_put_time(&screen->out, ts, "%A, %e %B %Y");
        show_put_raw(&screen->out, " ---");
        put_style(screen, &screen->out, STYLE_END);
        show_put_raw(&screen->out, "\r\n");
    }
    buffer_fini(&day);
}

/* Cuts the line that begins at `from` to the width of the terminal, without its last column. */
static void cut_line(struct chat_screen *screen, uint32_t from)
{
    struct buffer *out = &screen->out;
    ASSERT(from <= out->bytes);
    for (uint32_t bytes = 0; from + bytes < out->bytes; bytes++) {
        uint32_t column = 0, row = 0;
        bool is_begin = ((unsigned char)out->data[from + bytes] & 0xc0) != 0x80;
        if (!is_begin)
            continue;
        walk((struct span){out->data + from, bytes}, screen->columns, &column, &row);
        if (row == 0 && column + 4 < screen->columns)
            continue;
        out->bytes = from + bytes;
        show_put_raw(out, "\xe2\x80\xa6");
        return;
    }
}

static void put_preview(struct chat_screen *screen, const struct client_message *message, bool is_mine,
                        const char *peer)
{
    struct buffer *out = &screen->out;
    put_style(screen, out, STYLE_DIM);
    uint32_t from = out->bytes;
    show_put_time(out, message->ts, "%H:%M ");
    show_put_raw(out, is_mine ? "[to " : "[");
    show_put(out, span_of(peer), SHOW_LINE);
    show_put_raw(out, "] ");
    size_t bytes = strlen(message->text);
    show_put(out, (struct span){message->text, bytes < LINE_BYTES ? bytes : LINE_BYTES}, SHOW_LINE);
    cut_line(screen, from);
}

void chat_screen_message(struct chat_screen *screen, const struct client_message *message, bool is_mine,
                         const char *peer)
{
    struct buffer *out = &screen->out;
    put_day(screen, message->ts);
    if (peer != NULL) {
        put_preview(screen, message, is_mine, peer);
    } else {
        put_style(screen, out, STYLE_DIM);
        show_put_time(out, message->ts, "%H:%M ");
        put_style(screen, out, STYLE_END);
        put_style(screen, out, is_mine ? STYLE_MINE : STYLE_THEIRS);
        show_put(out, span_of(message->from), SHOW_LINE);
        put_style(screen, out, STYLE_END);
        show_put_raw(out, "  ");
        show_put(out, span_of(message->text), SHOW_LINES);
    }
    put_style(screen, out, STYLE_END);
    show_put_raw(out, "\r\n");
}

/* -- the prompt -- */

static char *edit_on_prompt(EditLine *edit)
{
    struct chat_screen *screen = NULL;
    el_get(edit, EL_CLIENTDATA, &screen);
    return screen->prompt;
}

static uint32_t width_of(const char *text)
{
    uint32_t column = 0, row = 0;
    walk(span_of(text), UINT32_MAX, &column, &row);
    return column;
}

void chat_screen_prompt(struct chat_screen *screen, const char *notes, const char *name)
{
    char prompt[PROMPT_BYTES];
    /* libedit binds a marked part to the character behind it, so two of them cannot stand side by side. */
    bool has_styles = screen->has_colours && notes[0] != '\0';
    (void)snprintf(prompt, sizeof prompt, "%s%.250s%s%.130s> ", has_styles ? "\1" STYLE_DIM "\1" : "", notes,
                   has_styles ? "\1" STYLE_END "\1" : "", name);
    if (strcmp(prompt, screen->prompt) == 0)
        return;
    strcpy(screen->prompt, prompt);
    screen->prompt_columns = width_of(notes) + width_of(name) + 2;
    screen->is_changed = true;
}

/* -- showing -- */

static struct span line_before_cursor(const struct chat_screen *screen)
{
    const LineInfo *info = el_line(screen->edit);
    return (struct span){info->buffer, (size_t)(info->cursor - info->buffer)};
}

void chat_screen_update(struct chat_screen *screen)
{
    struct buffer out = {0};
    if (screen->out.bytes == 0 && !screen->is_changed)
        return;
    if (screen->is_editing)
        put_clear(&out, rows_above(screen, line_before_cursor(screen)));
    (void)talk_flush(&out);
    buffer_fini(&out);
    (void)talk_flush(&screen->out);
    screen->is_changed = false;
    if (!screen->is_editing)
        return;
    screen->shown_columns = screen->prompt_columns;
    el_set(screen->edit, EL_REFRESH);
}

void chat_screen_resume(struct chat_screen *screen)
{
    screen->columns = columns_of_terminal();
    if (!screen->is_editing)
        return;
    el_set(screen->edit, EL_PREP_TERM, 1);
    el_resize(screen->edit);
    screen->is_changed = true;
    chat_screen_update(screen);
}

/* -- reading -- */

/* Takes the first whole character of the input. */
static bool take_character(struct chat_screen *screen, wchar_t *character_r)
{
    mbstate_t state = {0};
    if (screen->input_bytes == 0)
        return false;
    size_t bytes = mbrtowc(character_r, screen->input, screen->input_bytes, &state);
    if (bytes == (size_t)-2)
        return false;
    if (bytes == (size_t)-1) {
        *character_r = L'?';
        bytes = 1;
    }
    bytes = bytes == 0 ? 1 : bytes;
    screen->input_bytes -= bytes;
    memmove(screen->input, screen->input + bytes, screen->input_bytes);
    return true;
}

/* libedit asks for the next character: meanwhile everything else happens. */
static int edit_on_getc(EditLine *edit, wchar_t *character_r)
{
    struct chat_screen *screen = NULL;
    el_get(edit, EL_CLIENTDATA, &screen);
    screen->is_editing = true;
    while (!take_character(screen, character_r)) {
        enum chat_turn turn = screen->on_turn(screen->context);
        if (turn == CHAT_TURN_END)
            return 0;
        if (turn == CHAT_TURN_CLEAR) {
            *character_r = L'\x15';
            return 1;
        }
        if (turn == CHAT_TURN_AGAIN)
            continue;
        ASSERT(screen->input_bytes < sizeof screen->input);
        ssize_t bytes =
            read(STDIN_FILENO, screen->input + screen->input_bytes, sizeof screen->input - screen->input_bytes);
        if (bytes <= 0)
            return 0;
        screen->input_bytes += (size_t)bytes;
    }
    return 1;
}

static unsigned char edit_on_tab(EditLine *edit, int character)
{
    struct chat_screen *screen = NULL;
    char text[LINE_BYTES];
    (void)character;
    el_get(edit, EL_CLIENTDATA, &screen);
    struct span rest = screen->on_tab(screen->context, line_before_cursor(screen));
    (void)snprintf(text, sizeof text, "%.*s", (int)rest.bytes, rest.data);
    chat_screen_update(screen);
    return rest.bytes > 0 && el_insertstr(edit, text) == 0 ? CC_REFRESH : CC_NORM;
}

const char *chat_screen_read(struct chat_screen *screen)
{
    int count = 0;
    HistEvent event;
    struct buffer out = {0};
    ASSERT(!screen->is_editing);
    screen->shown_columns = screen->prompt_columns;
    screen->is_changed = false;
    const char *line = el_gets(screen->edit, &count);
    screen->is_editing = false;
    free(screen->line);
    screen->line = NULL;
    bool is_end = line == NULL || count <= 0;
    size_t bytes = is_end ? 0 : strcspn(line, "\n");
    put_clear(&out, is_end ? rows_above(screen, line_before_cursor(screen))
                           : rows_above(screen, (struct span){line, bytes}) + 1);
    (void)talk_flush(&out);
    buffer_fini(&out);
    if (is_end)
        return NULL;
    screen->line = strndup(line, bytes);
    ASSERT(screen->line != NULL);
    if (bytes > 0)
        history(screen->history, &event, H_ENTER, screen->line);
    return screen->line;
}

uint32_t chat_screen_typed(const struct chat_screen *screen, char *first_r)
{
    const LineInfo *info = el_line(screen->edit);
    size_t bytes = (size_t)(info->lastchar - info->buffer);
    *first_r = bytes > 0 ? info->buffer[0] : '\0';
    return (uint32_t)bytes;
}

/* -- opening and closing -- */

static bool wants_colours(void)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    return (no_color == NULL || no_color[0] == '\0') && term != NULL && strcmp(term, "dumb") != 0;
}

/* Terminals speak UTF-8 also where LANG names no such locale. */
static void choose_locale(void)
{
    setlocale(LC_ALL, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
}

struct chat_screen *chat_screen_open(chat_screen_on_turn *on_turn, chat_screen_on_tab *on_tab, void *context)
{
    HistEvent event;
    ASSERT(on_turn != NULL && on_tab != NULL);
    struct chat_screen *screen = calloc(1, sizeof *screen);
    ASSERT(screen != NULL);
    choose_locale();
    *screen = (struct chat_screen){.on_turn = on_turn,
                                   .on_tab = on_tab,
                                   .context = context,
                                   .has_colours = wants_colours(),
                                   .columns = columns_of_terminal()};
    screen->edit = el_init("chitchat", stdin, stdout, stderr);
    screen->history = history_init();
    if (screen->edit == NULL || screen->history == NULL) {
        chat_screen_close(&screen);
        return NULL;
    }
    history(screen->history, &event, H_SETSIZE, HISTORY_LINES);
    history(screen->history, &event, H_SETUNIQUE, 1);
    el_set(screen->edit, EL_CLIENTDATA, screen);
    el_set(screen->edit, EL_EDITOR, "emacs");
    el_set(screen->edit, EL_HIST, history, screen->history);
    el_set(screen->edit, EL_GETCFN, edit_on_getc);
    el_set(screen->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(screen->edit, EL_ADDFN, "chat-complete", "Complete a name", edit_on_tab);
    el_set(screen->edit, EL_BIND, "^I", "chat-complete", NULL);
    el_source(screen->edit, NULL);
    el_set(screen->edit, EL_PROMPT_ESC, edit_on_prompt, PROMPT_MARK);
    chat_screen_prompt(screen, "", "");
    return screen;
}

void chat_screen_close(struct chat_screen **screen)
{
    if (*screen == NULL)
        return;
    if ((*screen)->history != NULL)
        history_end((*screen)->history);
    if ((*screen)->edit != NULL)
        el_end((*screen)->edit);
    (void)talk_flush(&(*screen)->out);
    buffer_fini(&(*screen)->out);
    free((*screen)->line);
    free(*screen);
    *screen = NULL;
}
