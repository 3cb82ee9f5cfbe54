package store_test

import (
	"fmt"
	"testing"

	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/store/column"
)

func TestSuspectAfterIsWhatTheIndexesSay(t *testing.T) {
	t.Parallel()
	for condition, want := range map[string]string{
		column.IsReady:   fmt.Sprintf("%s AND uncertain < %d", column.IsQueued, store.SuspectAfter),
		column.IsSuspect: fmt.Sprintf("%s AND uncertain >= %d", column.IsQueued, store.SuspectAfter),
	} {
		if condition != want {
			t.Errorf("got %q, want %q", condition, want)
		}
	}
}
