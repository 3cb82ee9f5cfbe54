package sqlite

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// However large the content, an export's memory is bounded.
func TestAnExportTakesLargeJobsAFewAtATime(t *testing.T) {
	s := open(t, t.TempDir())
	sizes := []int{3 << 20, 3 << 20, 3 << 20, 9 << 20, 1, 1}
	want := []int{2, 1, 1, 2} // exportBytes is 8 MiB
	for i, size := range sizes {
		n := running(t, i)
		n.Request = store.Blob{Bytes: make([]byte, size)}
		if _, _, err := s.Submit(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	for after := uuid.Nil; ; {
		jobs, err := s.Export(t.Context(), after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(jobs) == 0 {
			break
		}
		got = append(got, len(jobs))
		for _, w := range jobs {
			if w.Job.Status != ringback.Running || len(w.Bodies) != 1 || len(w.Bodies[0].Bytes) != sizes[0] {
				t.Errorf("job %s is %s, with %d bodies", w.Job.ID, w.Job.Status, len(w.Bodies))
			}
			sizes = sizes[1:]
			after = w.Job.ID
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("jobs in each step: got %v, want %v", got, want)
	}
}
