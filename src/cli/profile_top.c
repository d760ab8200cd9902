/* guaco profile top: the screen.  What is on it is in profile_top.h. */

#include "profile_top.h"

#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "profile/ranking.h"

#define ROWS_ABOVE  5 /* what is sampled, figures, blank, column heads */
#define NAME_COLUMN 41
#define LINE_BYTES  512

struct guaco__top {
    SCREEN *screen;
    struct guaco__record *record;
    struct guaco__ranking *ranking;
    int pid;
    struct guaco_slice command_line;
    double rate;
    uint64_t delay_ns, next_ns, elapsed_ns;
    enum guaco__rank_order order;
    bool by_line, is_paused, is_stale;
    struct guaco__record_counts now, before; /* at the last two looks */
    const struct guaco__rank *ranks;         /* of the last look */
    size_t rank_count;
    uint64_t samples_now;
};

/* ---- life ------------------------------------------------------------------------- */

int
guaco__top_open(struct guaco__top **top, double rate, uint64_t delay_ns,
                struct guaco_error *err)
{
    if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1)
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "top needs a terminal: to write a file, use record");
    struct guaco__top *self = calloc(1, sizeof *self);
    if (self == NULL)
        return guaco_fail(err, GUACO_E_NOMEM, 0, "top");
    self->rate = rate;
    self->delay_ns = delay_ns;
    setlocale(LC_CTYPE, ""); /* for the names, not for numbers */
    self->screen = newterm(NULL, stdout, stdin);
    if (self->screen == NULL) {
        free(self);
        return guaco_fail(err, GUACO_E_UNSUPPORTED, 0,
                          "top does not know this terminal: TERM=%.60s",
                          getenv("TERM") == NULL ? "" : getenv("TERM"));
    }
    cbreak();
    noecho();
    nodelay(stdscr, TRUE);
    keypad(stdscr, TRUE);
    curs_set(0);
    *top = self;
    return GUACO_OK;
}

void
guaco__top_close(struct guaco__top *top)
{
    if (top == NULL)
        return;
    endwin();
    delscreen(top->screen);
    guaco__ranking_free(top->ranking);
    free(top);
}

void
guaco__top_watch(struct guaco__top *top, struct guaco__record *record, int pid,
                 struct guaco_slice command_line)
{
    top->record = record;
    top->pid = pid;
    top->command_line = command_line;
    top->is_stale = true;
}

bool
guaco__top_is_paused(const struct guaco__top *top)
{
    return top->is_paused;
}

/* ---- keys ------------------------------------------------------------------------- */

static void
turn_lines(struct guaco__top *top)
{
    top->by_line = !top->by_line;
    guaco__ranking_free(top->ranking);
    top->ranking = NULL;
}

bool
guaco__top_keys(struct guaco__top *top)
{
    int key;

    while ((key = getch()) != ERR) {
        top->is_stale = true;
        switch (key) {
        case 'q':
        case 'Q':
        case 3: return false; /* Ctrl-C, where the terminal gives it as a key */
        case 's': top->order = (top->order + 1) % 4; break;
        case '1':
        case '2':
        case '3':
        case '4': top->order = (enum guaco__rank_order)(key - '1'); break;
        case 'l':
        case 'L': turn_lines(top); break;
        case 'p':
        case ' ': top->is_paused = !top->is_paused; break;
        case 'r':
        case 'R':
            if (top->ranking != NULL)
                guaco__ranking_reset(top->ranking);
            break;
        default: break; /* KEY_RESIZE too: all is drawn anew */
        }
    }
    return true;
}

/* ---- the screen ------------------------------------------------------------------- */

static double
percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

/* A line, cut at the right edge. */
static void put_line(int row, const char *fmt, ...) GUACO_PRINTF(2, 3);

static void
put_line(int row, const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mvaddnstr(row, 0, text, COLS);
}

static void
put_head(struct guaco__top *top)
{
    const struct guaco__record_counts *now = &top->now;
    uint64_t rounds = now->rounds - top->before.rounds;

    attron(A_BOLD);
    put_line(0, "Process %d: %.*s", top->pid, (int)top->command_line.len,
             top->command_line.at);
    attroff(A_BOLD);
    put_line(1, "GIL %.0f%%, active %.0f%%, threads %zu",
             percent(now->gil - top->before.gil, rounds),
             percent(now->active - top->before.active, rounds), now->threads);
    put_line(2, "%llu s, %llu samples, %g a second%s",
             (unsigned long long)(top->elapsed_ns / 1000000000),
             (unsigned long long)guaco__record_tally(top->record)->samples,
             top->rate, top->is_paused ? ", PAUSED (p goes on)" : "");
}

static void
put_columns(const struct guaco__top *top)
{
    static const char *const heads[] = {"%Own", "%Total", "OwnTime",
                                        "TotalTime"};

    attron(A_REVERSE);
    mvhline(ROWS_ABOVE - 1, 0, ' ', COLS);
    for (int i = 0; i < 4; i++) {
        if (i == (int)top->order)
            attron(A_BOLD);
        mvprintw(ROWS_ABOVE - 1, i * 10, "%9s%c", heads[i],
                 i == (int)top->order ? '*' : ' ');
        attroff(A_BOLD);
    }
    mvaddnstr(ROWS_ABOVE - 1, NAME_COLUMN, top->by_line ? "Line" : "Function",
              COLS > NAME_COLUMN ? COLS - 41 : 0);
    attroff(A_REVERSE);
}

/* The end of a path that fits into `room` columns, from a '/' on if it can. */
static struct guaco_slice
file_end(struct guaco_slice file, int room)
{
    if (room < 12)
        room = 12;
    if (file.len <= (size_t)room)
        return file;
    struct guaco_slice end = {file.at + file.len - (size_t)room, (size_t)room};
    const char *slash = memchr(end.at, '/', end.len);
    if (slash == NULL)
        return end;
    return (struct guaco_slice){slash + 1,
                                end.len - (size_t)(slash + 1 - end.at)};
}

static void
put_rank(const struct guaco__top *top, int row, const struct guaco__rank *rank,
         uint64_t samples)
{
    const struct guaco__place *place = rank->place;
    char line[16] = "";

    if (top->by_line && place->line > 0)
        snprintf(line, sizeof line, ":%d", (int)place->line);
    struct guaco_slice file =
        file_end(place->file, COLS - NAME_COLUMN - 3 - (int)strlen(line) -
                                  (int)place->name.len);
    put_line(row, "%8.2f%% %8.2f%% %8.2fs %8.2fs  %.*s (%.*s%s)",
             percent(rank->own_now, samples), percent(rank->total_now, samples),
             (double)rank->own / top->rate, (double)rank->total / top->rate,
             (int)place->name.len, place->name.at, (int)file.len, file.at,
             line);
}

static void
draw(struct guaco__top *top)
{
    erase();
    put_head(top);
    put_columns(top);
    for (size_t i = 0; i < top->rank_count && (int)i + ROWS_ABOVE < LINES - 1;
         i++)
        put_rank(top, (int)i + ROWS_ABOVE, &top->ranks[i], top->samples_now);
    attron(A_DIM);
    put_line(LINES - 1, "q quit   s or 1-4 sort   l %s   p pause   r reset",
             top->by_line ? "functions" : "lines");
    attroff(A_DIM);
    refresh();
}

static int
look(struct guaco__top *top)
{
    int rc = GUACO_OK;

    if (top->ranking == NULL)
        rc = guaco__ranking_new(&top->ranking, guaco__record_tally(top->record),
                                top->by_line);
    if (rc == GUACO_OK)
        rc = guaco__ranking_look(top->ranking, top->order, &top->ranks,
                                 &top->rank_count, &top->samples_now);
    top->before = top->now;
    top->now = *guaco__record_counts(top->record);
    return rc;
}

int
guaco__top_tick(struct guaco__top *top, uint64_t elapsed_ns)
{
    bool is_due = elapsed_ns >= top->next_ns && !top->is_paused;
    int rc = GUACO_OK;

    if (is_due || top->ranking == NULL) {
        top->elapsed_ns = elapsed_ns;
        top->next_ns = elapsed_ns + top->delay_ns;
        rc = look(top);
    } else if (!top->is_stale) {
        return GUACO_OK;
    }
    if (rc != GUACO_OK)
        return rc;
    guaco__ranking_sort(top->ranking, top->order);
    top->is_stale = false;
    draw(top);
    return GUACO_OK;
}
