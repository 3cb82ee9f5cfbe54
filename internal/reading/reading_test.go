package reading

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
	"github.com/ringback/ringback/internal/supervise"
)

func TestAPageLeavesOutTheRowThatShowsThatThereIsAnother(t *testing.T) {
	t.Parallel()
	self := func(id *uuid.UUID) uuid.UUID { return *id }
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
	page, next := cutPage(ids, nil, 2, self)
	if len(page) != 2 || next == nil || *next != ids[1] {
		t.Errorf("three rows, two a page: got %v, next %v", page, next)
	}
	for limit := 3; limit < 5; limit++ {
		if page, next := cutPage(ids, nil, limit, self); len(page) != 3 || next != nil {
			t.Errorf("three rows, %d a page: got %v, next %v", limit, page, next)
		}
	}
	if _, next := cutPage(ids, &ids[2], 3, self); next == nil || *next != ids[2] {
		t.Errorf("a store that has stopped early: next is %v, want its own", next)
	}
}

func TestWhatCannotBeDoneToOneDeadLetterIsNoReasonToLeaveTheOthers(t *testing.T) {
	t.Parallel()
	b := new(batch)
	for _, err := range []error{
		nil, fmt.Errorf("replay: %w", store.ErrReplayed), store.ErrUnreadable, supervise.ErrPanic, ringback.Invalid("patch", "does not fit"),
	} {
		b.note(err)
	}
	if b.err != nil || b.done != 1 || b.skipped != 4 || b.invalid == nil {
		t.Errorf("got %d done, %d skipped, %v, %v; want 1 and 4, and what does not fit", b.done, b.skipped, b.invalid, b.err)
	}
	b.note(store.ErrUnavailable)
	if !errors.Is(b.err, store.ErrUnavailable) {
		t.Errorf("a store that can't be reached: got %v, want that it concerns all", b.err)
	}
}
