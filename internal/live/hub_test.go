package live

import (
	"slices"
	"testing"

	"github.com/google/uuid"
)

func TestPublishWakesAllWhoWatchThatJob(t *testing.T) {
	var h Hub
	job, other := uuid.New(), uuid.New()
	a, leaveA := h.Watch(job)
	b, leaveB := h.Watch(job)
	c, leaveC := h.Watch(other)
	defer leaveA()
	defer leaveB()
	defer leaveC()

	if got := h.Watched(); len(got) != 2 || !slices.Contains(got, job) || !slices.Contains(got, other) {
		t.Errorf("watched: got %v, want both jobs", got)
	}
	h.Publish(job)
	<-a
	<-b
	if got := h.Watched(); len(got) != 1 || got[0] != other {
		t.Errorf("still watched: got %v, want the other job", got)
	}
	select {
	case <-c:
		t.Fatal("the watcher of another job was woken")
	default:
	}
}

func TestNothingIsKeptOfThoseWhoLeft(t *testing.T) {
	var h Hub
	job := uuid.New()
	_, leave := h.Watch(job)
	_, leaveToo := h.Watch(job)
	leave()
	leave() // a second time changes nothing
	if len(h.watchers) != 1 {
		t.Fatalf("watched jobs after one of two left: got %d, want 1", len(h.watchers))
	}
	leaveToo()
	if len(h.watchers) != 0 {
		t.Fatalf("watched jobs after all left: got %d, want 0", len(h.watchers))
	}
}

func TestALateLeaverDoesNotTakeNewWatchersAlong(t *testing.T) {
	var h Hub
	job := uuid.New()
	_, leave := h.Watch(job)
	h.Publish(job)
	moved, leaveNew := h.Watch(job)
	defer leaveNew()
	leave()
	h.Publish(job)
	<-moved
}
