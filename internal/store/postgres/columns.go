package postgres

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// column is one column of a statement that writes many rows: what travels is one
// array for each.
type column[R any] struct {
	name, kind string
	// as is the value in the statement, where it is not the column of d.
	as    string
	array func(rows []R) any
}

func arrayOf[R, V any](get func(*R) V) func([]R) any {
	return func(rows []R) any {
		values := make([]V, len(rows))
		for i := range rows {
			values[i] = get(&rows[i])
		}
		return values
	}
}

func text[R any](name string, get func(*R) string) column[R] {
	return column[R]{name, "text", "d." + name, arrayOf(get)}
}

func bigint[R any](name string, get func(*R) int64) column[R] {
	return column[R]{name, "bigint", "d." + name, arrayOf(get)}
}

func integer[R any](name string, get func(*R) int) column[R] {
	return column[R]{name, "integer", "d." + name, arrayOf(func(r *R) int32 { return int32(get(r)) })}
}

func smallint[R any](name string, get func(*R) int) column[R] {
	return column[R]{name, "smallint", "d." + name, arrayOf(func(r *R) int16 { return int16(get(r)) })}
}

func boolean[R any](name string, get func(*R) bool) column[R] {
	return column[R]{name, "boolean", "d." + name, arrayOf(get)}
}

func id[R any](name string, get func(*R) uuid.UUID) column[R] {
	return column[R]{name, "uuid", "d." + name, arrayOf(func(r *R) [16]byte { return get(r) })}
}

func binary[R any](name string, get func(*R) []byte) column[R] {
	return column[R]{name, "bytea", "d." + name, arrayOf(get)}
}

// orNull stores NULL in the place of a value that stands for none.
func (c column[R]) orNull(none string) column[R] {
	c.as = fmt.Sprintf("nullif(d.%s, %s)", c.name, none)
	return c
}

// rowsStatement writes many rows at once.
type rowsStatement[R any] struct {
	sql     string
	columns []column[R]
}

func (s rowsStatement[R]) of(rows []R) statement {
	if len(rows) == 0 {
		return statement{}
	}
	args := make([]any, len(s.columns))
	for i, c := range s.columns {
		args[i] = c.array(rows)
	}
	return statement{s.sql, args}
}

// source is the rows as a table d.
func source[R any](columns []column[R]) string {
	arrays, names := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		arrays[i] = fmt.Sprintf("$%d::%s[]", i+1, c.kind)
		names[i] = c.name
	}
	return fmt.Sprintf("unnest(%s) AS d(%s)", strings.Join(arrays, ", "), strings.Join(names, ", "))
}

// insertInto makes a statement that inserts rows; conflict is what stands behind.
func insertInto[R any](table, conflict string, columns ...column[R]) rowsStatement[R] {
	names, values := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i], values[i] = c.name, c.as
	}
	return rowsStatement[R]{fmt.Sprintf("INSERT INTO ringback.%s (%s) SELECT %s FROM %s %s",
		table, strings.Join(names, ", "), strings.Join(values, ", "), source(columns), conflict), columns}
}

// update makes a statement that changes rows, all of them or none: those whose
// key is theirs and for which condition holds, in terms of t (the table) and d.
func update[R any](table, condition string, key column[R], guards []column[R], columns ...column[R]) rowsStatement[R] {
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = c.name + " = " + c.as
	}
	all := append(append([]column[R]{key}, guards...), columns...)
	return rowsStatement[R]{fmt.Sprintf(
		"WITH u AS (UPDATE ringback.%s AS t SET %s FROM %s WHERE t.%s = d.%s AND %s RETURNING 1) SELECT ringback.matched(count(*), cardinality($1::uuid[])) FROM u",
		table, strings.Join(sets, ", "), source(all), key.name, key.name, condition), all}
}

// clean makes text of what others said: PostgreSQL's holds valid UTF-8 without NUL.
func clean(s string) string {
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
}
