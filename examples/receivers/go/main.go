// Receives Ringback's webhooks with net/http: verifies, drops duplicates, answers fast.
//
//	WEBHOOK_SECRET=whsec_… PORT=9099 go run ./examples/receivers/go
//
// WEBHOOK_SECRET=NEW,OLD accepts either, while the secret is being replaced.
package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/ringback/ringback"
)

func main() {
	secrets, err := ringback.ParseSecrets(os.Getenv("WEBHOOK_SECRET"))
	if err != nil {
		log.Fatalf("receiver: set WEBHOOK_SECRET to what `ringback secret` prints: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:"+cmp.Or(os.Getenv("PORT"), "9099"))
	if err != nil {
		log.Fatalf("receiver: %v", err)
	}
	log.Printf("receiver: listening on http://%s/hook", l.Addr())
	http.Handle("POST /hook", receive(secrets))
	server := http.Server{ReadTimeout: time.Minute}
	log.Fatal(server.Serve(l))
}

func receive(secrets []ringback.Secret) http.HandlerFunc {
	// The ids of the deliveries that we have. In production: a table with webhook-id as its
	// primary key, written in the transaction that stores the job's result.
	var seen sync.Map
	return func(w http.ResponseWriter, r *http.Request) {
		// A 413 ends a delivery: choose a limit that fits the longest answer.
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<20))
		if err != nil {
			http.Error(w, "the body is too long", http.StatusRequestEntityTooLarge)
			return
		}
		var job ringback.Event
		if err = ringback.Verify(r.Header, body, secrets...); err == nil {
			err = json.Unmarshal(body, &job)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		if _, again := seen.LoadOrStore(r.Header.Get(ringback.HeaderWebhookID), true); !again {
			fmt.Printf("{\"job_id\":%q,\"status\":%q}\n", job.ID, job.Status)
		}
		w.WriteHeader(http.StatusNoContent) // store first, then reply; long work comes after that
	}
}
