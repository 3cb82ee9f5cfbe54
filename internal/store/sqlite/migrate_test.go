package sqlite

import (
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// The directory was made by the first six migrations; listing its pending webhooks reads an
// index that is newer.
func TestAnOldDirectoryListsItsPendingWebhooks(t *testing.T) {
	dir := t.TempDir()
	db, err := sql.Open("sqlite", dsn(filepath.Join(dir, "ringback.db")))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names, err := migrationNames()
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names[:6] {
		if err := apply(t.Context(), conn, name, i+1); err != nil {
			t.Fatal(err)
		}
	}
	_, err = conn.ExecContext(t.Context(), `
		INSERT INTO deliveries (id, job, project, host, url, event, status, fence, in_flight, manual, made_at, due_at, next_at, ended_at, tries, sent, blocked, last_status)
		VALUES (CAST('0000000aaaaaaaab' AS BLOB), CAST('0000000aaaaaaaaa' AS BLOB), 'default', 'https://h:443', 'https://h/x', 'job.completed', 0, 2, 0, 0, 1, 5, 5, 0, 1, 1, 0, 503)`)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	found, _, _, err := open(t, dir).Deliveries(t.Context(), store.DeliveryQuery{Project: "default", Status: ringback.DeliveryPending, Limit: 10})
	if err != nil || len(found) != 1 || found[0].LastStatusCode != 503 {
		t.Errorf("got %+v, %v; want the one that is pending", found, err)
	}
}
