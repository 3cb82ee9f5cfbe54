package postgres

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// boundColumn is one column of a statement that writes rows: many rows are sent as one
// array, few as a value each.
type boundColumn[R any] struct {
	name, kind string
	// as is the stored value, in terms of the column of d.
	as    string
	array func(rows []R) any
	value func(row *R) any
}

func bindColumn[R, V any](name, kind string, get func(*R) V) boundColumn[R] {
	return boundColumn[R]{
		name: name, kind: kind, as: "d." + name,
		array: func(rows []R) any {
			values := make([]V, len(rows))
			for i := range rows {
				values[i] = get(&rows[i])
			}
			return values
		},
		value: func(row *R) any { return get(row) },
	}
}

func text[R any](name string, get func(*R) string) boundColumn[R] {
	return bindColumn(name, "text", get)
}

func bigint[R any](name string, get func(*R) int64) boundColumn[R] {
	return bindColumn(name, "bigint", get)
}

func integer[R any](name string, get func(*R) int) boundColumn[R] {
	return bindColumn(name, "integer", func(r *R) int32 { return int32(get(r)) })
}

func smallint[R any](name string, get func(*R) int) boundColumn[R] {
	return bindColumn(name, "smallint", func(r *R) int16 { return int16(get(r)) })
}

func boolean[R any](name string, get func(*R) bool) boundColumn[R] {
	return bindColumn(name, "boolean", get)
}

func id[R any](name string, get func(*R) uuid.UUID) boundColumn[R] {
	return bindColumn(name, "uuid", func(r *R) [16]byte { return get(r) })
}

func binary[R any](name string, get func(*R) []byte) boundColumn[R] {
	return bindColumn(name, "bytea", get)
}

// orNull stores NULL instead of the value that means none.
func (c boundColumn[R]) orNull(none string) boundColumn[R] {
	c.as = fmt.Sprintf("nullif(d.%s, %s)", c.name, none)
	return c
}

// rowsStatement writes rows.
type rowsStatement[R any] struct {
	many    string // all of them, as arrays
	one     string
	columns []boundColumn[R]
}

// fewRows is the largest number of rows that are written by a statement each. PostgreSQL
// takes some time to unpack an array for each column, however short: half a millisecond for
// a job.
const fewRows = 6

func (s rowsStatement[R]) of(rows []R) []statement {
	if len(rows) > fewRows {
		args := make([]any, len(s.columns))
		for i, c := range s.columns {
			args[i] = c.array(rows)
		}
		return []statement{{s.many, args}}
	}
	statements := make([]statement, len(rows))
	for r := range rows {
		args := make([]any, len(s.columns))
		for i, c := range s.columns {
			args[i] = c.value(&rows[r])
		}
		statements[r] = statement{s.one, args}
	}
	return statements
}

// alone substitutes parameters for the columns of d.
func alone[R any](sql string, columns []boundColumn[R]) string {
	for i, c := range columns {
		sql = regexp.MustCompile(`\bd\.`+c.name+`\b`).ReplaceAllLiteralString(sql, fmt.Sprintf("$%d::%s", i+1, c.kind))
	}
	return sql
}

// source returns the rows as a table d.
func source[R any](columns []boundColumn[R]) string {
	arrays, names := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		arrays[i] = fmt.Sprintf("$%d::%s[]", i+1, c.kind)
		names[i] = c.name
	}
	return fmt.Sprintf("unnest(%s) AS d(%s)", strings.Join(arrays, ", "), strings.Join(names, ", "))
}

// insertInto makes a statement that inserts rows; conflict is its last clause.
func insertInto[R any](table, conflict string, columns ...boundColumn[R]) rowsStatement[R] {
	names, values := make([]string, len(columns)), make([]string, len(columns))
	for i, c := range columns {
		names[i], values[i] = c.name, c.as
	}
	into := fmt.Sprintf("INSERT INTO ringback.%s (%s)", table, strings.Join(names, ", "))
	list := strings.Join(values, ", ")
	return rowsStatement[R]{
		many:    fmt.Sprintf("%s SELECT %s FROM %s %s", into, list, source(columns), conflict),
		one:     alone(fmt.Sprintf("%s VALUES (%s) %s", into, list, conflict), columns),
		columns: columns,
	}
}

// update makes a statement that changes rows, all of them or none: those whose key matches
// and for which condition holds, in terms of t (the table) and d.
func update[R any](table, condition string, key boundColumn[R], guards []boundColumn[R], columns ...boundColumn[R]) rowsStatement[R] {
	sets := make([]string, len(columns))
	for i, c := range columns {
		sets[i] = c.name + " = " + c.as
	}
	all := append(append([]boundColumn[R]{key}, guards...), columns...)
	set := fmt.Sprintf("UPDATE ringback.%s AS t SET %s", table, strings.Join(sets, ", "))
	where := fmt.Sprintf("t.%s = d.%s AND %s", key.name, key.name, condition)
	return rowsStatement[R]{
		many: fmt.Sprintf("WITH u AS (%s FROM %s WHERE %s RETURNING 1) SELECT ringback.matched(count(*), cardinality($1::uuid[])) FROM u",
			set, source(all), where),
		one:     alone(fmt.Sprintf("WITH u AS (%s WHERE %s RETURNING 1) SELECT ringback.matched(count(*), 1) FROM u", set, where), all),
		columns: all,
	}
}

// clean makes external strings storable: PostgreSQL's text is valid UTF-8 without NUL.
func clean(s string) string {
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
}
