package sqlite

import (
	"testing"
	"testing/synctest"
	"time"
)

// On a machine with too much to do a read may stand still for a while. What is asked
// then is answered late, and not refused.
func TestAReadThatIsHeldUpSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, t.TempDir())
		err := s.read(t.Context(), func(q *reader) error {
			time.Sleep(5 * time.Second)
			var one int
			return q.row(`SELECT 1`).Scan(&one)
		})
		if err != nil {
			t.Error(err)
		}
	})
}
