package api

import (
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/strictjson"
)

// nothing is the body of a handler that needs none.
type nothing struct{}

func readNothing(*nothing, string, strictjson.Value) error { return strictjson.ErrUnknownField }

func moment(v strictjson.Value, into **ringback.Time) error {
	var s string
	if err := strictjson.ReadString(v, &s); err != nil || v.IsNull() {
		return err
	}
	t, err := parseTime(s)
	if err != nil {
		return err
	}
	*into = &ringback.Time{Time: t}
	return nil
}

// parseTime parses a time of RFC 3339, which also allows lower case, and a space instead of
// the T.
func parseTime(s string) (time.Time, error) {
	exact := strings.ToUpper(s)
	if day, clock, ok := strings.Cut(exact, " "); ok {
		exact = day + "T" + clock
	}
	t, err := time.Parse(time.RFC3339, exact)
	if err != nil {
		return t, &strictjson.Error{Message: "must be a time as RFC 3339 has it, such as 2026-01-31T18:00:00Z"}
	}
	return t, nil
}
