/*
 * plot.h: a plot as SVG, written piece by piece to a page: x is linear, y linear from 0 or logarithmic. The page's CSS
 * classes give the colours: c0, c1, … of lines, m0, m1, … of marks. Main thread.
 */
#ifndef CHITCHAT_BENCH_LOAD_PLOT_H
#define CHITCHAT_BENCH_LOAD_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct load_plot {
    FILE *file;                 /* borrowed */
    double x_max, y_min, y_max; /* y_min: of a logarithmic one */
    bool is_log;
    bool is_ms; /* y is a time, in milliseconds; else a number */
};

/* Sets y_max, and y_min of a logarithmic plot, so that it shows `least` to `most`. */
void load_plot_fit(struct load_plot *plot, double least, double most);
/* Writes the title, and axis and lines of y. */
void load_plot_begin(const struct load_plot *plot, const char *title);
void load_plot_x_label(const struct load_plot *plot, double x, const char *text);
void load_plot_x_seconds(const struct load_plot *plot);
/* A line: begin, points, end. The second (nth 1) is dashed, so that a line below it still shows. */
void load_plot_line_begin(const struct load_plot *plot, uint32_t nth);
void load_plot_line_point(const struct load_plot *plot, double x, double y);
void load_plot_line_end(const struct load_plot *plot);
/* A band over all of y, of the class m0, m1, …, cut at the plot's end; a line marks where it begins. */
void load_plot_mark(const struct load_plot *plot, uint32_t kind, double from, double to);
void load_plot_bar(const struct load_plot *plot, double from, double to, double y);
/* `legend` is markup. */
void load_plot_end(const struct load_plot *plot, const char *legend);
/* Write a value with its unit: "1.2 k"; "250 us", "1.5 ms", "2 s". */
void load_plot_number(char *out, size_t room, double value);
void load_plot_time(char *out, size_t room, double ms);

#endif
