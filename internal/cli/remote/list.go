package remote

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/ringback/ringback"
)

// PageSize is the most entries on a page of a list.
const PageSize = 100

// Length is how much of a list to print.
type Length struct {
	limit int
	all   bool
}

// AddFlags adds --limit and --all.
func (n *Length) AddFlags(flags *pflag.FlagSet) {
	flags.IntVarP(&n.limit, "limit", "n", 20, "`N` show at most this many")
	flags.BoolVar(&n.all, "all", false, "list all of them, however many")
}

// Check returns an error if --limit is not a positive number.
func (n *Length) Check() error {
	if n.limit < 1 {
		return fmt.Errorf("--limit: %d is not a number from 1 on; --all lists all", n.limit)
	}
	return nil
}

// EachPage reads a list page by page and passes each page to show, until enough entries have
// been shown. It returns their number, and whether there are more.
func EachPage[T any](n Length, page func(limit int, cursor string) (ringback.Page[T], error), show func([]T) error) (int, bool, error) {
	shown, cursor := 0, ""
	for {
		limit := PageSize
		if !n.all {
			limit = min(limit, n.limit-shown)
		}
		p, err := page(limit, cursor)
		if err != nil {
			return shown, false, err
		}
		if err := show(p.Data); err != nil {
			return shown, false, err
		}
		shown += len(p.Data)
		switch {
		case p.NextCursor == nil:
			return shown, false, nil
		case !n.all && shown >= n.limit:
			return shown, true, nil
		}
		cursor = *p.NextCursor
	}
}

// SayMore says that a list has more entries, if it has.
func (s *Session) SayMore(shown int, more bool, what string) {
	if more {
		s.Sayf("%d %s shown, there are more: --limit or --all", shown, what)
	}
}
