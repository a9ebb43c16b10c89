/*
 * schema_sql.h: the statements that make the schema, or migrate it, each from the version before; only schema.c
 * includes this file. @ stands for the schema's name. A step never changes once it was released: what is to be
 * different becomes the next step.
 */
#ifndef CHITCHAT_ENGINES_POSTGRESQL_SCHEMA_SQL_H
#define CHITCHAT_ENGINES_POSTGRESQL_SCHEMA_SQL_H

#define PG_SCHEMA_VERSION 2u

static const char *const pg_schema_steps[PG_SCHEMA_VERSION] = {
    "CREATE TABLE @.cluster ("
    " only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),"
    " version integer NOT NULL, id uuid NOT NULL, slots integer NOT NULL,"
    " servers integer NOT NULL, server integer NOT NULL, made timestamptz NOT NULL DEFAULT now());\n"

    "CREATE TABLE @.slot ("
    " slot integer PRIMARY KEY, generation bigint NOT NULL DEFAULT 0,"
    " last bigint NOT NULL DEFAULT 0, hash bytea NOT NULL DEFAULT decode(repeat('00', 16), 'hex'),"
    " below bigint NOT NULL DEFAULT 0)"
    " WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);\n"

    "CREATE TABLE @.batch ("
    " slot integer NOT NULL, number bigint NOT NULL, generation bigint NOT NULL,"
    " at timestamptz NOT NULL DEFAULT now(), body bytea NOT NULL,"
    " PRIMARY KEY (slot, number, at)) PARTITION BY RANGE (at);\n"
    "ALTER TABLE @.batch ALTER COLUMN body SET STORAGE EXTERNAL;\n"

    /* A table that is attached takes a weaker lock than one that is made as a partition: appends go on. */
    "CREATE FUNCTION @.make_partitions() RETURNS void LANGUAGE plpgsql AS $body$\n"
    "DECLARE\n"
    "    begins timestamptz;\n"
    "    part text;\n"
    "BEGIN\n"
    "    PERFORM pg_advisory_xact_lock(hashtext('chitchat'), hashtext('@'));\n"
    "    FOR hour IN 0..2 LOOP\n"
    "        begins := date_trunc('hour', now(), 'UTC') + hour * interval '1 hour';\n"
    "        part := to_char(begins AT TIME ZONE 'UTC', '\"batch_\"YYYYMMDD\"_\"HH24');\n"
    "        CONTINUE WHEN to_regclass('@.' || part) IS NOT NULL;\n"
    "        EXECUTE format('CREATE TABLE @.%I (LIKE @.batch INCLUDING ALL)', part);\n"
    "        EXECUTE format('ALTER TABLE @.batch ATTACH PARTITION @.%I FOR VALUES FROM (%L) TO (%L)',\n"
    "                       part, begins, begins + interval '1 hour');\n"
    "    END LOOP;\n"
    "END $body$;\n"

    /* Looked at twice: the second time under the lock, when no append can be under way in the partition. */
    "CREATE FUNCTION @.drop_partitions(keep interval) RETURNS void LANGUAGE plpgsql AS $body$\n"
    "DECLARE\n"
    "    part regclass;\n"
    "    needed boolean;\n"
    "    check_sql constant text := 'SELECT EXISTS (SELECT FROM @.slot s WHERE EXISTS"
    " (SELECT FROM %s p WHERE p.slot = s.slot AND p.number >= s.below))';\n"
    "BEGIN\n"
    "    IF NOT pg_try_advisory_xact_lock(hashtext('chitchat'), hashtext('@')) THEN\n"
    "        RETURN;\n"
    "    END IF;\n"
    "    PERFORM set_config('lock_timeout', '500', true);\n"
    "    FOR part IN\n"
    "        SELECT c.oid::regclass FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid\n"
    "        WHERE i.inhparent = '@.batch'::regclass AND c.relname <\n"
    "            to_char((now() - keep - interval '1 hour') AT TIME ZONE 'UTC', '\"batch_\"YYYYMMDD\"_\"HH24')\n"
    "        ORDER BY c.relname\n"
    "    LOOP\n"
    "        EXECUTE format(check_sql, part) INTO needed;\n"
    "        CONTINUE WHEN needed;\n"
    "        LOCK TABLE ONLY @.batch IN ACCESS EXCLUSIVE MODE;\n"
    "        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', part);\n"
    "        EXECUTE format(check_sql, part) INTO needed;\n"
    "        CONTINUE WHEN needed;\n"
    "        EXECUTE format('DROP TABLE %s', part);\n"
    "    END LOOP;\n"
    "EXCEPTION WHEN lock_not_available THEN\n"
    "    NULL; -- the next purge tries again\n"
    "END $body$;\n",

    "CREATE TABLE @.node ("
    " name text PRIMARY KEY, address text NOT NULL, joined timestamptz NOT NULL DEFAULT now(),"
    " seen timestamptz NOT NULL DEFAULT now(), is_forgotten boolean NOT NULL DEFAULT false,"
    " runs bigint[] NOT NULL, applied bigint[] NOT NULL);\n"
    "UPDATE @.cluster SET version = 2;\n",
};

#endif
