#ifndef GUACO_QUEUE_SQLITE_STATEMENTS_H
#define GUACO_QUEUE_SQLITE_STATEMENTS_H

/* The statements, prepared at first use. */
#define SQLITE_ID_MASK "17592186044415" /* RANK_ID_MAX, in SQL */

#define SQLITE_STATEMENTS(X)                                                            \
    X(BEGIN_READ, "BEGIN")                                                              \
    X(BEGIN_WRITE, "BEGIN IMMEDIATE")                                                   \
    X(COMMIT, "COMMIT")                                                                 \
    X(ROLLBACK, "ROLLBACK")                                                             \
    X(QUEUE_ALL, "SELECT id, name, generation FROM guaco_queue")                        \
    X(QUEUE_ADD,                                                                        \
      "INSERT INTO guaco_queue(id, name, generation) VALUES(?1, ?2, 0)")                \
    X(SEQUENCE_GET, "SELECT value FROM guaco_meta WHERE name = 'sequence'")             \
    X(SEQUENCE_TOUCH,                                                                   \
      "UPDATE guaco_meta SET value = value WHERE name = 'sequence'")                    \
    X(SEQUENCE_SET,                                                                     \
      "UPDATE guaco_meta SET value = ?1 WHERE name = 'sequence'")                       \
    X(READY_ADD,                                                                        \
      "INSERT INTO guaco_ready(rank, attempt, failures, deaths, envelope, "             \
      "ruled) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                          \
    X(READY_HEAD,                                                                       \
      "SELECT rank, attempt, failures, deaths, envelope, ruled FROM guaco_ready "       \
      "WHERE rank >= ?1 AND rank < ?2 ORDER BY rank LIMIT ?3")                          \
    X(READY_DROP, "DELETE FROM guaco_ready WHERE rank >= ?1 AND rank <= ?2")            \
    X(SUSPECT_ADD,                                                                      \
      "INSERT INTO guaco_suspect(rank, attempt, failures, deaths, envelope, "           \
      "ruled) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                          \
    X(SUSPECT_HEAD,                                                                     \
      "SELECT rank, attempt, failures, deaths, envelope, ruled FROM guaco_suspect "     \
      "WHERE rank >= ?1 AND rank < ?2 ORDER BY rank LIMIT ?3")                          \
    X(SUSPECT_DROP,                                                                     \
      "DELETE FROM guaco_suspect WHERE rank >= ?1 AND rank <= ?2")                      \
    X(DELAYED_ADD,                                                                      \
      "INSERT INTO guaco_delayed(due, rank, attempt, failures, deaths, "                \
      "suspect, envelope, ruled) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")               \
    X(DELAYED_DUE,                                                                      \
      "SELECT rank, attempt, failures, deaths, envelope, ruled, suspect, due "          \
      "FROM guaco_delayed WHERE due <= ?1 ORDER BY due, rank LIMIT ?2")                 \
    X(DELAYED_DROP, "DELETE FROM guaco_delayed WHERE (due, rank) <= (?1, ?2)")          \
    X(DELAYED_NEXT, "SELECT due FROM guaco_delayed ORDER BY due LIMIT 1")               \
    X(RUNNING_ADD,                                                                      \
      "INSERT INTO guaco_running(id, rank, owner, attempt, failures, deaths, "          \
      "suspect, alone, since, envelope, ruled) "                                        \
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")                           \
    X(RUNNING_GET,                                                                      \
      "SELECT rank, attempt, failures, deaths, envelope, ruled, suspect, "              \
      "alone, cancel FROM guaco_running WHERE id = ?1 AND owner = ?2 AND attempt = ?3") \
    X(RUNNING_RANK, "SELECT rank FROM guaco_running "                                   \
                    "WHERE id = ?1 AND owner = ?2 AND attempt = ?3")                    \
    X(RUNNING_DROP, "DELETE FROM guaco_running "                                        \
                    "WHERE id = ?1 AND owner = ?2 AND attempt = ?3")                    \
    X(RUNNING_OF,                                                                       \
      "SELECT rank, attempt, failures, deaths, envelope, ruled, suspect, "              \
      "alone, cancel FROM guaco_running WHERE owner = ?1")                              \
    X(RUNNING_DROP_OF, "DELETE FROM guaco_running WHERE owner = ?1")                    \
    X(OWNER_ADD,                                                                        \
      "INSERT INTO guaco_owner(id, pid, pid_start, pid_space, boot, "                   \
      "lease_end) VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                      \
    X(OWNER_RENEW, "UPDATE guaco_owner SET lease_end = ?2 WHERE id = ?1")               \
    X(OWNER_HAS, "SELECT 1 FROM guaco_owner WHERE id = ?1")                             \
    X(CLAIM_LOOK,                                                                       \
      "SELECT EXISTS(SELECT 1 FROM guaco_owner WHERE id = ?1), "                        \
      "(SELECT paused * 2 + (revokes > 0) FROM guaco_queue WHERE id = ?2)")             \
    X(OWNER_CANCELED, "SELECT id FROM guaco_running "                                   \
                      "WHERE owner = ?1 AND cancel IS NOT NULL")                        \
    X(OWNER_DROP, "DELETE FROM guaco_owner WHERE id = ?1")                              \
    X(OWNER_ALL,                                                                        \
      "SELECT id, pid, pid_start, pid_space, boot = ?1, lease_end < ?2, "               \
      "EXISTS(SELECT 1 FROM guaco_running WHERE owner = guaco_owner.id) "               \
      "FROM guaco_owner")                                                               \
    X(DEAD_ADD,                                                                         \
      "INSERT INTO guaco_dead(id, rank, attempt, failures, deaths, since, "             \
      "reason, envelope) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                       \
    X(DEAD_GET,                                                                         \
      "SELECT rank, attempt, failures, deaths, envelope, 0 FROM guaco_dead "            \
      "WHERE rank >= ?1 AND rank < ?2 AND (?3 = 0 OR id = ?3)")                         \
    X(DEAD_DROP, "DELETE FROM guaco_dead "                                              \
                 "WHERE rank >= ?1 AND rank < ?2 AND (?3 = 0 OR id = ?3)")              \
    X(RESULT_SET,                                                                       \
      "INSERT OR REPLACE INTO guaco_result(id, queue, state, attempt, "                 \
      "finished, ends, body, reason) "                                                  \
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                                         \
    X(RESULT_GET,                                                                       \
      "SELECT state, attempt, finished, body, reason FROM guaco_result "                \
      "WHERE id = ?1")                                                                  \
    X(RESULT_DROP, "DELETE FROM guaco_result WHERE id = ?1")                            \
    X(RESULT_ENDED,                                                                     \
      "DELETE FROM guaco_result WHERE id IN (SELECT id FROM guaco_result "              \
      "WHERE ends <= ?1 ORDER BY ends LIMIT ?2)")                                       \
    X(RESULT_NEXT, "SELECT ends FROM guaco_result ORDER BY ends LIMIT 1")               \
    X(EVENT_LAST, "SELECT number FROM guaco_event WHERE id = ?1 "                       \
                  "ORDER BY number DESC LIMIT 1")                                       \
    X(EVENT_ADD, "INSERT INTO guaco_event(id, number, ends, body) "                     \
                 "VALUES(?1, ?2, ?3, ?4)")                                              \
    X(EVENT_TRIM, "DELETE FROM guaco_event WHERE id = ?1 AND number <= ?2")             \
    X(EVENT_AFTER, "SELECT number, body FROM guaco_event "                              \
                   "WHERE id = ?1 AND number > ?2 ORDER BY number")                     \
    X(EVENT_ENDED,                                                                      \
      "DELETE FROM guaco_event WHERE rowid IN (SELECT rowid "                           \
      "FROM guaco_event WHERE ends <= ?1 ORDER BY ends LIMIT ?2)")                      \
    X(EVENT_NEXT, "SELECT ends FROM guaco_event ORDER BY ends LIMIT 1")                 \
    X(RECUR_CLEAR,                                                                      \
      "DELETE FROM guaco_recur WHERE queue = ?1 AND run_time = 0")                      \
    X(RECUR_GET, "SELECT generation, paused, run_time FROM guaco_recur "                \
                 "WHERE queue = ?1 AND name = ?2")                                      \
    X(RECUR_DROP, "DELETE FROM guaco_recur WHERE queue = ?1 AND name = ?2")             \
    X(RECUR_PAUSE,                                                                      \
      "UPDATE guaco_recur SET last = CASE WHEN paused AND NOT ?3 THEN ?4 "              \
      "ELSE last END, paused = ?3 WHERE queue = ?1 AND name = ?2")                      \
    X(RECUR_LAST,                                                                       \
      "SELECT last FROM guaco_recur "                                                   \
      "WHERE queue = ?1 AND name = ?2 AND spec = ?3 AND zone = ?4")                     \
    X(RECUR_SET,                                                                        \
      "INSERT OR REPLACE INTO guaco_recur(queue, name, spec, zone, catch_up, "          \
      "generation, priority, last, envelope, paused, run_time) "                        \
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)")                           \
    X(RECUR_ALL,                                                                        \
      "SELECT queue, name, spec, zone, envelope, catch_up, generation, "                \
      "priority, last, paused, run_time FROM guaco_recur "                              \
      "ORDER BY queue, name")                                                           \
    X(RECUR_TICK,                                                                       \
      "UPDATE guaco_recur SET last = ?5 WHERE queue = ?1 AND name = ?2 "                \
      "AND generation = ?3 AND last = ?4 AND paused = 0")                               \
    X(RECUR_HAS, "SELECT 1 FROM guaco_recur WHERE queue = ?1 AND name = ?2")            \
    X(QUEUE_GENERATION,                                                                 \
      "UPDATE guaco_queue SET generation = ?2 WHERE id = ?1")                           \
    X(STATS,                                                                            \
      "SELECT (SELECT count(*) FROM guaco_ready "                                       \
      "WHERE rank >= ?1 AND rank < ?2) + (SELECT count(*) "                             \
      "FROM guaco_suspect WHERE rank >= ?1 AND rank < ?2) + (SELECT "                   \
      "count(*) FROM guaco_aside WHERE rank >= ?1 AND rank < ?2), "                     \
      "(SELECT count(*) FROM guaco_delayed WHERE rank >= ?1 AND rank < ?2), "           \
      "(SELECT count(*) FROM guaco_running WHERE rank >= ?1 AND rank < ?2), "           \
      "(SELECT count(*) FROM guaco_dead WHERE rank >= ?1 AND rank < ?2), "              \
      "(SELECT count(*) FROM guaco_result WHERE queue = ?3), "                          \
      "(SELECT count(*) FROM guaco_recur WHERE queue = ?3), "                           \
      "(SELECT count(*) FROM guaco_held WHERE rank >= ?1 AND rank < ?2), "              \
      "(SELECT paused FROM guaco_queue WHERE id = ?3)")                                 \
    X(LIST_WAITING,                                                                     \
      "SELECT rank, attempt, failures, deaths, envelope, 0, 0, NULL "                   \
      "FROM (SELECT rank, attempt, failures, deaths, envelope "                         \
      "FROM guaco_ready UNION ALL "                                                     \
      "SELECT rank, attempt, failures, deaths, envelope "                               \
      "FROM guaco_suspect UNION ALL "                                                   \
      "SELECT rank, attempt, failures, deaths, envelope FROM guaco_aside) "             \
      "WHERE rank >= ?1 AND rank < ?2 ORDER BY rank LIMIT ?3 OFFSET ?4")                \
    X(LIST_DELAYED,                                                                     \
      "SELECT rank, attempt, failures, deaths, envelope, 0, due, NULL "                 \
      "FROM guaco_delayed WHERE rank >= ?1 AND rank < ?2 "                              \
      "ORDER BY due, rank LIMIT ?3 OFFSET ?4")                                          \
    X(LIST_RUNNING,                                                                     \
      "SELECT rank, attempt, failures, deaths, envelope, 0, since, NULL "               \
      "FROM guaco_running WHERE rank >= ?1 AND rank < ?2 "                              \
      "ORDER BY since, id LIMIT ?3 OFFSET ?4")                                          \
    X(LIST_DEAD,                                                                        \
      "SELECT rank, attempt, failures, deaths, envelope, 0, since, reason "             \
      "FROM guaco_dead WHERE rank >= ?1 AND rank < ?2 "                                 \
      "ORDER BY since, id LIMIT ?3 OFFSET ?4")                                          \
    X(LIST_HELD, "SELECT rank, 0, 0, 0, envelope, 0, due, NULL "                        \
                 "FROM guaco_held WHERE rank >= ?1 AND rank < ?2 "                      \
                 "ORDER BY due, rank LIMIT ?3 OFFSET ?4")                               \
    X(PURGE_WAITING, "DELETE FROM guaco_ready "                                         \
                     "WHERE rank >= ?1 AND rank < ?2 AND ruled = 0")                    \
    X(PURGE_SUSPECT, "DELETE FROM guaco_suspect "                                       \
                     "WHERE rank >= ?1 AND rank < ?2 AND ruled = 0")                    \
    X(PURGE_DELAYED, "DELETE FROM guaco_delayed "                                       \
                     "WHERE rank >= ?1 AND rank < ?2 AND ruled = 0")                    \
    X(PURGE_RESULT, "DELETE FROM guaco_result WHERE queue = ?1")                        \
    X(RULED_WAITING,                                                                    \
      "SELECT rank FROM guaco_ready WHERE rank >= ?1 AND rank < ?2 "                    \
      "AND ruled UNION ALL SELECT rank FROM guaco_suspect "                             \
      "WHERE rank >= ?1 AND rank < ?2 AND ruled UNION ALL "                             \
      "SELECT rank FROM guaco_aside WHERE rank >= ?1 AND rank < ?2")                    \
    X(RULED_DELAYED,                                                                    \
      "SELECT rank FROM guaco_delayed WHERE rank >= ?1 AND rank < ?2 "                  \
      "AND ruled")                                                                      \
    X(RULED_HELD,                                                                       \
      "SELECT rank FROM guaco_held WHERE rank >= ?1 AND rank < ?2")                     \
    X(SAVEPOINT, "SAVEPOINT guaco_put")                                                 \
    X(SAVEPOINT_BACK, "ROLLBACK TO guaco_put")                                          \
    X(SAVEPOINT_END, "RELEASE guaco_put")                                               \
    SQLITE_PLACE_STATEMENTS(X)                                                          \
    SQLITE_RULE_STATEMENTS(X)                                                           \
    SQLITE_KEY_STATEMENTS(X)

/* Finding a task by its id. */
#define SQLITE_PLACE_STATEMENTS(X)                                              \
    X(READY_SEEK, "SELECT rank FROM guaco_ready WHERE rank >= ?1 "              \
                  "ORDER BY rank LIMIT 1")                                      \
    X(SUSPECT_SEEK, "SELECT rank FROM guaco_suspect WHERE rank >= ?1 "          \
                    "ORDER BY rank LIMIT 1")                                    \
    X(DELAYED_FIND,                                                             \
      "SELECT rank, attempt, failures, deaths, ruled, due, suspect "            \
      "FROM guaco_delayed "                                                     \
      "WHERE (rank & " SQLITE_ID_MASK ") = ?1")                                 \
    X(RUNNING_FIND, "SELECT rank, attempt, failures, deaths, ruled, owner, 0 "  \
                    "FROM guaco_running WHERE id = ?1")                         \
    X(HELD_FIND,                                                                \
      "SELECT rank, 0, 0, 0, 1, 0, 0 FROM guaco_held WHERE id = ?1")            \
    X(ASIDE_FIND,                                                               \
      "SELECT a.rank, a.attempt, a.failures, a.deaths, 1, a.lane, a.suspect "   \
      "FROM guaco_rule AS r JOIN guaco_aside AS a "                             \
      "ON a.lane = r.aside AND a.rank = r.rank WHERE r.id = ?1")                \
    X(READY_FIND,                                                               \
      "SELECT rank, attempt, failures, deaths, ruled, 0, 0 FROM guaco_ready "   \
      "WHERE rank = ?1")                                                        \
    X(SUSPECT_FIND,                                                             \
      "SELECT rank, attempt, failures, deaths, ruled, 0, 0 FROM guaco_suspect " \
      "WHERE rank = ?1")                                                        \
    X(DELAYED_TAKE, "DELETE FROM guaco_delayed WHERE due = ?1 AND rank = ?2")   \
    X(HELD_DROP, "DELETE FROM guaco_held WHERE id = ?1")                        \
    X(RUNNING_CANCEL, "UPDATE guaco_running SET cancel = ?2 WHERE id = ?1 "     \
                      "AND cancel IS NULL")                                     \
    X(RUNNING_WHY, "SELECT cancel FROM guaco_running WHERE id = ?1")            \
    X(QUEUE_PAUSE, "UPDATE guaco_queue SET paused = ?2 WHERE id = ?1")

/* Rules, and limits. */
#define SQLITE_RULE_STATEMENTS(X)                                              \
    X(RULE_ADD,                                                                \
      "INSERT INTO guaco_rule(id, rank, until, ukey, lane1, cost1, lane2, "    \
      "cost2, counted, aside, joins, member, members) "                        \
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, 0, ?9, ?10, ?11)")            \
    X(RULE_GET,                                                                \
      "SELECT rank, until, ukey, lane1, cost1, lane2, cost2, counted, aside, " \
      "joins, member, members FROM guaco_rule WHERE id = ?1")                  \
    X(RULE_DROP, "DELETE FROM guaco_rule WHERE id = ?1")                       \
    X(RULE_COUNTED, "UPDATE guaco_rule SET counted = ?2 WHERE id = ?1")        \
    X(RULE_ASIDE, "UPDATE guaco_rule SET aside = ?2 WHERE id = ?1")            \
    X(RULE_JOINS,                                                              \
      "UPDATE guaco_rule SET joins = ?2, member = ?3 WHERE id = ?1")           \
    X(RULE_KEYLESS, "UPDATE guaco_rule SET ukey = x'' WHERE id = ?1")          \
    X(UNIQUE_GET, "SELECT id, ends FROM guaco_unique "                         \
                  "WHERE queue = ?1 AND ukey = ?2")                            \
    X(UNIQUE_SET,                                                              \
      "INSERT OR REPLACE INTO guaco_unique(queue, ukey, id, ends) "            \
      "VALUES(?1, ?2, ?3, ?4)")                                                \
    X(UNIQUE_DROP, "DELETE FROM guaco_unique "                                 \
                   "WHERE queue = ?1 AND ukey = ?2 AND id = ?3")               \
    X(UNIQUE_ENDED,                                                            \
      "DELETE FROM guaco_unique WHERE (queue, ukey) IN (SELECT queue, ukey "   \
      "FROM guaco_unique WHERE ends <= ?1 ORDER BY ends LIMIT ?2)")            \
    X(UNIQUE_NEXT, "SELECT ends FROM guaco_unique WHERE ends IS NOT NULL "     \
                   "ORDER BY ends LIMIT 1")                                    \
    X(HELD_ADD,                                                                \
      "INSERT INTO guaco_held(id, rank, due, missing, must, envelope) "        \
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6)")                                        \
    X(HELD_GET,                                                                \
      "SELECT rank, 0, 0, 0, envelope, 1, due, missing, must FROM guaco_held " \
      "WHERE id = ?1")                                                         \
    X(HELD_LESS, "UPDATE guaco_held SET missing = missing - 1 WHERE id = ?1")  \
    X(MEMBER_ADD,                                                              \
      "INSERT OR IGNORE INTO guaco_member(held, number, id, state, body) "     \
      "VALUES(?1, ?2, ?3, ?4, ?5)")                                            \
    X(MEMBER_ALL,                                                              \
      "SELECT number, id, state, body FROM guaco_member WHERE held = ?1 "      \
      "ORDER BY number")                                                       \
    X(MEMBER_DROP, "DELETE FROM guaco_member WHERE held = ?1")                 \
    X(LANE_FIND,                                                               \
      "SELECT id, most FROM guaco_lane WHERE queue = ?1 AND name = ?2")        \
    X(LANE_ADD,                                                                \
      "INSERT INTO guaco_lane(id, queue, name, refs, running, most, "          \
      "spacing, burst, full_us, wake) "                                        \
      "VALUES(?1, ?2, ?3, 0, 0, 0, 0, 0, 0, NULL)")                            \
    X(LANE_USE,                                                                \
      "UPDATE guaco_lane SET refs = refs + 1, most = ?2, spacing = ?3, "       \
      "burst = ?4 WHERE id = ?1")                                              \
    X(LANE_GET,                                                                \
      "SELECT refs, running, most, spacing, burst, full_us, wake, EXISTS("     \
      "SELECT 1 FROM guaco_aside WHERE lane = guaco_lane.id) "                 \
      "FROM guaco_lane WHERE id = ?1")                                         \
    X(LANE_SET,                                                                \
      "UPDATE guaco_lane SET refs = ?2, running = ?3, full_us = ?4, "          \
      "wake = nullif(?5, 9223372036854775807) WHERE id = ?1")                  \
    X(LANE_PULL, "UPDATE guaco_lane SET wake = ?1 WHERE wake > ?1 "            \
                 "AND wake > ?1 + burst * spacing / 1000 + 1")                 \
    X(LANE_DROP, "DELETE FROM guaco_lane WHERE id = ?1")                       \
    X(LANE_WAKE, "SELECT id, wake FROM guaco_lane WHERE wake IS NOT NULL "     \
                 "ORDER BY wake LIMIT 1")                                      \
    X(ASIDE_ADD,                                                               \
      "INSERT INTO guaco_aside(lane, rank, attempt, failures, deaths, "        \
      "suspect, envelope) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)")                 \
    X(ASIDE_FIRST,                                                             \
      "SELECT a.rank, a.attempt, a.failures, a.deaths, a.envelope, 1, "        \
      "a.suspect, CASE WHEN r.lane1 = ?1 THEN r.cost1 ELSE r.cost2 END "       \
      "FROM guaco_aside AS a JOIN guaco_rule AS r "                            \
      "ON r.id = (a.rank & " SQLITE_ID_MASK ") "                               \
      "WHERE a.lane = ?1 ORDER BY a.rank LIMIT 1")                             \
    X(ASIDE_DROP, "DELETE FROM guaco_aside WHERE lane = ?1 AND rank = ?2")

/* Keys, revocations, locks. */
#define SQLITE_KEY_STATEMENTS(X)                                              \
    X(KEY_GET, "SELECT value, ends FROM guaco_key WHERE name = ?1 "           \
               "AND (ends IS NULL OR ends > ?2)")                             \
    X(KEY_SET, "INSERT OR REPLACE INTO guaco_key(name, ends, value) "         \
               "VALUES(?1, nullif(?2, 9223372036854775807), ?3)")             \
    X(KEY_DROP, "DELETE FROM guaco_key WHERE name = ?1")                      \
    X(KEY_LIST,                                                               \
      "SELECT name, value FROM guaco_key WHERE name > ?1 AND name >= ?2 "     \
      "AND (ends IS NULL OR ends > ?3) ORDER BY name")                        \
    X(KEY_ENDED,                                                              \
      "DELETE FROM guaco_key WHERE name IN (SELECT name FROM guaco_key "      \
      "WHERE ends <= ?1 ORDER BY ends LIMIT ?2)")                             \
    X(KEY_NEXT, "SELECT ends FROM guaco_key WHERE ends IS NOT NULL "          \
                "ORDER BY ends LIMIT 1")                                      \
    X(REVOKE_ENDED, "DELETE FROM guaco_revoke "                               \
                    "WHERE queue = ?1 AND until != 0 AND until <= ?2")        \
    X(REVOKE_SET,                                                             \
      "INSERT OR REPLACE INTO guaco_revoke(queue, name, until, once) "        \
      "VALUES(?1, ?2, ?3, ?4)")                                               \
    X(REVOKE_GET,                                                             \
      "SELECT once FROM guaco_revoke WHERE queue = ?1 AND name = ?2")         \
    X(REVOKE_DROP, "DELETE FROM guaco_revoke WHERE queue = ?1 AND name = ?2") \
    X(REVOKE_COUNT,                                                           \
      "UPDATE guaco_queue SET revokes = (SELECT count(*) FROM guaco_revoke "  \
      "WHERE queue = ?1) WHERE id = ?1")                                      \
    X(LOCK_ENDED, "DELETE FROM guaco_lock "                                   \
                  "WHERE name = ?1 AND (ends <= ?2 OR boot != ?3)")           \
    X(LOCK_LOOK, "SELECT count(*), min(ends) FROM guaco_lock "                \
                 "WHERE name = ?1")                                           \
    X(LOCK_ADD, "INSERT INTO guaco_lock(name, token, owner, boot, ends) "     \
                "VALUES(?1, ?2, ?3, ?4, ?5)")                                 \
    X(LOCK_RENEW,                                                             \
      "UPDATE guaco_lock SET ends = ?3 WHERE name = ?1 AND token = ?2")       \
    X(LOCK_DROP, "DELETE FROM guaco_lock WHERE name = ?1 AND token = ?2")     \
    X(LOCK_CLEAR, "DELETE FROM guaco_lock WHERE name = ?1")                   \
    X(LOCK_OF, "SELECT DISTINCT name FROM guaco_lock WHERE owner = ?1")       \
    X(LOCK_DROP_OF, "DELETE FROM guaco_lock WHERE owner = ?1")

#endif
