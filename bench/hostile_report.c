#include "hostile_report.h"

#include <errno.h>
#include <string.h>

#define MIB 1048576.0
#define P99_US 25000u
#define TIMES_ALONE 4u

static const char *const unit_names[HOSTILE_UNITS] = {"frames",      "sends",  "pages",   "refusals",
                                                      "connections", "logins", "replays", "hellos"};

static uint64_t p99(const struct load_histogram *histogram)
{
    return load_histogram_quantile(histogram, 0.99);
}

static uint64_t limit_us(const struct hostile_figures *alone)
{
    uint64_t times = TIMES_ALONE * p99(&alone->send);
    return times > P99_US ? times : P99_US;
}

static bool has_fate(const struct hostile_result *result, enum hostile_fate fate)
{
    return result->under.fate == fate || result->after.fate == fate;
}

enum hostile_verdict hostile_report_verdict(const struct hostile_result *result)
{
    if (has_fate(result, HOSTILE_HUNG))
        return HOSTILE_IS_HUNG;
    if (has_fate(result, HOSTILE_LOST))
        return HOSTILE_WAS_LOST;
    bool is_kept = !has_fate(result, HOSTILE_CUT) && p99(&result->under.send) <= limit_us(&result->alone);
    return is_kept ? HOSTILE_KEPT : HOSTILE_BROKEN;
}

static const char *verdict_name(enum hostile_verdict verdict)
{
    static const char *const names[] = {"kept", "broken", "lost", "hung"};
    return names[verdict];
}

static uint64_t units_of(const struct hostile_plan *plan, const struct hostile_tally *tally)
{
    switch (plan->unit) {
    case HOSTILE_FRAMES: return tally->units;
    case HOSTILE_SENDS: return tally->counts.oks > tally->connects ? tally->counts.oks - tally->connects : 0;
    case HOSTILE_PAGES: return tally->counts.pages;
    case HOSTILE_REFUSALS: return tally->turned_away;
    case HOSTILE_CONNECTIONS: return tally->connects;
    case HOSTILE_FLIGHTS: return tally->counts.flights;
    case HOSTILE_LOGINS:
    case HOSTILE_REPLAYS:
    case HOSTILE_UNITS: break;
    }
    return tally->sessions;
}

static double rate_of(const struct hostile_plan *plan, const struct hostile_tally *tally)
{
    return tally->seconds > 0 ? (double)units_of(plan, tally) / tally->seconds : 0;
}

void hostile_report_print_head(FILE *out)
{
    fputs(
        "send to ok, ms    | alone: p50 |    p99 | attack: p99 |      max |  times | ping p99 | after: p99 | verdict | "
        "the attack\n"
        "------------------|------------|--------|-------------|----------|--------|----------|------------|---------|-"
        "----------\n",
        out);
}

static double ms(uint64_t us)
{
    return (double)us / 1000;
}

static double cpu_share(const struct hostile_result *result)
{
    double seconds = result->tally.seconds;
    double used_s = result->ended.cpu_s - result->before.cpu_s; /* below 0: the process has ended */
    return seconds > 0 && used_s > 0 ? used_s / seconds : 0;
}

static void print_attack(const struct hostile_result *result, FILE *out)
{
    const struct hostile_tally *tally = &result->tally;
    double seconds = tally->seconds > 0 ? tally->seconds : 1;
    fprintf(out, "%.0f %s/s", rate_of(result->plan, tally), unit_names[result->plan->unit]);
    if (tally->counts.refused > 0)
        fprintf(out, ", %.0f refused/s", (double)tally->counts.refused / seconds);
    if (tally->counts.messages > 0)
        fprintf(out, ", %.0f msg/s read", (double)tally->counts.messages / seconds);
    fprintf(out, ", %u connections", tally->open_max);
    if (tally->ended_by_server > 0)
        fprintf(out, ", %llu ended by the server", (unsigned long long)tally->ended_by_server);
    if (tally->connects_failed > 0)
        fprintf(out, ", %llu connects failed", (unsigned long long)tally->connects_failed);
    if (result->before.rss_bytes == 0)
        return;
    fprintf(out, "; server %.2f cores, RSS %.0f -> %.0f MiB", cpu_share(result), (double)result->before.rss_bytes / MIB,
            (double)tally->rss_max / MIB);
    if (result->later.rss_bytes > 0)
        fprintf(out, ", 10 s later %.0f", (double)result->later.rss_bytes / MIB);
}

void hostile_report_print(const struct hostile_result *result, FILE *out)
{
    uint64_t alone = p99(&result->alone.send), under = p99(&result->under.send);
    fprintf(out, "%-17s | %10.2f | %6.2f | %11.2f | %8.1f | %6.1f | %8.1f | %10.2f | %-7s | ", result->plan->name,
            ms(load_histogram_quantile(&result->alone.send, 0.5)), ms(alone), ms(under), ms(result->under.send.max_us),
            alone > 0 ? (double)under / (double)alone : 0, ms(p99(&result->under.ping)), ms(p99(&result->after.send)),
            verdict_name(hostile_report_verdict(result)));
    print_attack(result, out);
    fputc('\n', out);
    fflush(out);
}

static void write_latency(FILE *file, const char *name, const struct load_histogram *histogram)
{
    fprintf(file, "\"%s\":{\"count\":%llu,\"p50\":%llu,\"p99\":%llu,\"max\":%llu}", name,
            (unsigned long long)histogram->count, (unsigned long long)load_histogram_quantile(histogram, 0.5),
            (unsigned long long)p99(histogram), (unsigned long long)histogram->max_us);
}

static void write_figures(FILE *file, const char *name, const struct hostile_figures *figures)
{
    static const char *const fates[] = {"served", "cut", "lost", "hung"};
    fprintf(file, ",\n\"%s\":{\"fate\":\"%s\",\"refused\":%llu,\"unanswered\":%llu,", name, fates[figures->fate],
            (unsigned long long)figures->refused, (unsigned long long)figures->unanswered);
    write_latency(file, "send", &figures->send);
    fputc(',', file);
    write_latency(file, "ping", &figures->ping);
    fputc('}', file);
}

static void write_counts(FILE *file, const struct hostile_tally *tally)
{
    const struct hostile_counts *counts = &tally->counts;
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {{"connects", tally->connects},
                  {"connects_failed", tally->connects_failed},
                  {"sessions", tally->sessions},
                  {"ended_by_server", tally->ended_by_server},
                  {"turned_away", tally->turned_away},
                  {"open_max", tally->open_max},
                  {"bytes_out", tally->bytes_out},
                  {"bytes_in", tally->bytes_in},
                  {"oks", counts->oks},
                  {"errors", counts->errors},
                  {"refused", counts->refused},
                  {"messages", counts->messages},
                  {"pages", counts->pages},
                  {"lives", counts->lives},
                  {"pongs", counts->pongs},
                  {"closes", counts->closes},
                  {"rss_max", tally->rss_max}};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        fprintf(file, ",\"%s\":%llu", fields[i].name, (unsigned long long)fields[i].value);
}

static void write_result(FILE *file, const struct hostile_result *result)
{
    fprintf(file, "{\"name\":\"%s\",\"verdict\":\"%s\",\"limit_us\":%llu", result->plan->name,
            verdict_name(hostile_report_verdict(result)), (unsigned long long)limit_us(&result->alone));
    write_figures(file, "alone", &result->alone);
    write_figures(file, "under", &result->under);
    write_figures(file, "after", &result->after);
    fprintf(file, ",\n\"attack\":{\"seconds\":%.3f,\"unit\":\"%s\",\"per_s\":%.1f", result->tally.seconds,
            unit_names[result->plan->unit], rate_of(result->plan, &result->tally));
    write_counts(file, &result->tally);
    fprintf(file, "},\n\"server\":{\"cores\":%.3f,\"rss_before\":%llu,\"rss_ended\":%llu,\"rss_later\":%llu}}",
            cpu_share(result), (unsigned long long)result->before.rss_bytes,
            (unsigned long long)result->ended.rss_bytes, (unsigned long long)result->later.rss_bytes);
}

bool hostile_report_write_json(const struct hostile_result *results, uint32_t count, const char *path)
{
    FILE *file = fopen(path, "w");
    if (file != NULL) {
        fputs("{\"attacks\":[", file);
        for (uint32_t i = 0; i < count; i++) {
            fputs(i > 0 ? ",\n" : "\n", file);
            write_result(file, &results[i]);
        }
        fputs("]}\n", file);
    }
    if (file != NULL && fclose(file) == 0)
        return true;
    fprintf(stderr, "hostile: cannot write %s: %s\n", path, strerror(errno));
    return false;
}
