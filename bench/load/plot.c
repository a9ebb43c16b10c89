#include "load/plot.h"

#include <math.h>

#define WIDTH 860.0
#define HEIGHT 300.0
/* Room for labels of 24, which a phone shows at less than half their size. */
#define LEFT 92.0
#define BOTTOM 38.0
#define TOP 14.0
#define RIGHT 64.0
#define X_LABELS 7 /* at most, so that those of a phone do not touch */
#define TICKS 5

static double x_of(const struct load_plot *plot, double x)
{
    return LEFT + (plot->x_max > 0 ? x / plot->x_max : 0) * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct load_plot *plot, double y)
{
    double share = y / plot->y_max;
    if (plot->is_log)
        share = y <= plot->y_min ? 0 : log(y / plot->y_min) / log(plot->y_max / plot->y_min);
    return HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP);
}

/* 1, 1.5, 2, 3, 4, 5 or 8 times a power of ten, at least `value`. */
static double round_up(double value)
{
    double power = pow(10, floor(log10(value > 0 ? value : 1)));
    static const double firsts[] = {1, 1.5, 2, 3, 4, 5, 8, 10};
    uint32_t i = 0;
    while (firsts[i] < value / power && i < 7)
        i++;
    return power * firsts[i];
}

void load_plot_fit(struct load_plot *plot, double least, double most)
{
    if (!plot->is_log) {
        plot->y_max = round_up(most);
        return;
    }
    plot->y_max = pow(10, ceil(log10(fmax(most, 0.01)) - 1e-9));
    plot->y_min = pow(10, floor(log10(fmax(least, 0.001))));
    if (plot->y_min >= plot->y_max)
        plot->y_min = plot->y_max / 10;
}

void load_plot_number(char *out, size_t room, double value)
{
    if (value >= 1e6)
        snprintf(out, room, "%.3g M", value / 1e6);
    else if (value >= 1e3)
        snprintf(out, room, "%.3g k", value / 1e3);
    else
        snprintf(out, room, value >= 100 ? "%.0f" : "%.3g", value);
}

void load_plot_time(char *out, size_t room, double ms)
{
    if (ms >= 1000)
        snprintf(out, room, "%.3g s", ms / 1000);
    else if (ms >= 1)
        snprintf(out, room, "%.3g ms", ms);
    else
        snprintf(out, room, "%.3g us", ms * 1000);
}

static void y_line(const struct load_plot *plot, double value)
{
    char label[32];
    if (plot->is_ms)
        load_plot_time(label, sizeof label, value);
    else
        load_plot_number(label, sizeof label, value);
    fprintf(plot->file, "<path class=g d='M%.1f %.1fH%.1f'/><text x='%.1f' y='%.1f' text-anchor=end>%s</text>\n", LEFT,
            y_of(plot, value), WIDTH - RIGHT, LEFT - 6, y_of(plot, value) + 4, label);
}

void load_plot_begin(const struct load_plot *plot, const char *title)
{
    fprintf(plot->file, "<h2>%s</h2>\n<div class=w><svg viewBox='0 0 %.0f %.0f' role=img aria-label='%s'>\n", title,
            WIDTH, HEIGHT, title);
    if (plot->is_log)
        for (double y = plot->y_min; y <= plot->y_max * 1.001; y *= 10)
            y_line(plot, y);
    else
        for (int i = 0; i <= TICKS; i++)
            y_line(plot, plot->y_max * i / TICKS);
}

void load_plot_x_label(const struct load_plot *plot, double x, const char *text)
{
    fprintf(plot->file, "<path class=g d='M%.1f %.1fV%.1f'/><text x='%.1f' y='%.1f' text-anchor=middle>%s</text>\n",
            x_of(plot, x), TOP, HEIGHT - BOTTOM, x_of(plot, x), HEIGHT - BOTTOM + 26, text);
}

/* Labels at multiples of 1, 2 or 5 times a power of ten, at most X_LABELS and one. */
void load_plot_x_seconds(const struct load_plot *plot)
{
    double step = pow(10, floor(log10(plot->x_max / X_LABELS)));
    for (int i = 0; plot->x_max / step > X_LABELS; i++)
        step *= i % 3 == 1 ? 2.5 : 2;
    for (double x = 0; x <= plot->x_max * 1.001; x += step) {
        char text[32];
        snprintf(text, sizeof text, "%.4g s", x);
        load_plot_x_label(plot, x, text);
    }
}

void load_plot_line_begin(const struct load_plot *plot, uint32_t nth)
{
    fprintf(plot->file, "<polyline class='s c%u'%s points='", nth, nth == 1 ? " stroke-dasharray='7 5'" : "");
}

void load_plot_line_point(const struct load_plot *plot, double x, double y)
{
    fprintf(plot->file, "%.1f,%.1f ", x_of(plot, x), y_of(plot, y));
}

void load_plot_line_end(const struct load_plot *plot)
{
    fputs("'/>\n", plot->file);
}

void load_plot_mark(const struct load_plot *plot, uint32_t kind, double from, double to)
{
    double x = x_of(plot, from), end = x_of(plot, fmin(to, plot->x_max));
    if (from <= plot->x_max)
        fprintf(plot->file,
                "<g class=m%u><rect x='%.1f' y='%.1f' width='%.1f' height='%.1f'/><path d='M%.1f %.1fV%.1f'/></g>\n",
                kind, x, TOP, end - x, HEIGHT - BOTTOM - TOP, x, TOP, HEIGHT - BOTTOM);
}

void load_plot_bar(const struct load_plot *plot, double from, double to, double y)
{
    fprintf(plot->file, "<rect class=b x='%.1f' y='%.1f' width='%.1f' height='%.1f'/>\n", x_of(plot, from),
            y_of(plot, y), x_of(plot, to) - x_of(plot, from) - 1, HEIGHT - BOTTOM - y_of(plot, y));
}

void load_plot_end(const struct load_plot *plot, const char *legend)
{
    fprintf(plot->file, "</svg></div><p class=l>%s</p>\n", legend);
}
