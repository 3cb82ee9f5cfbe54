package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"time"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
)

// A program that can wait needs no webhook: it asks for no events.
func Example() { //nolint:testableexamples // it needs a server
	c, err := client.New(client.Config{URL: "http://127.0.0.1:8080", APIKey: os.Getenv("RINGBACK_API_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()

	accepted, err := c.Submit(ctx, ringback.Request{
		Prompt: "What is a webhook?",
		Events: &[]ringback.EventType{},
	}, client.IdempotencyKey("question-17"))
	if err != nil {
		log.Fatal(err)
	}
	job, err := c.Wait(ctx, accepted.JobID) // survives restarts of the server
	if err != nil {
		log.Fatal(err)
	}
	if job.Status != ringback.Completed {
		log.Fatalf("job %s %s: %s", job.ID, job.Status, job.Error)
	}
	fmt.Println(*job.Result)
}

// A watcher sees the answer grow, across lost connections and restarts of the server, and
// drops the output of an attempt that broke off.
func ExampleClient_Stream() { //nolint:testableexamples // it needs a server
	c, err := client.New(client.Config{APIKey: os.Getenv("RINGBACK_API_KEY")})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	accepted, err := c.Submit(ctx, ringback.Request{Prompt: "What is a webhook?", Stream: true, Events: &[]ringback.EventType{}})
	if err != nil {
		log.Fatal(err)
	}
	var answer client.Transcript
	for event, err := range c.Stream(ctx, accepted.JobID) {
		if err != nil {
			log.Fatal(err)
		}
		answer.Add(event)
		fmt.Printf("\r%d bytes of attempt %d", len(answer.Text()), answer.Attempt())
	}
	fmt.Println(answer.Text(), answer.Job().Status)
}

// A receiver replies as soon as the event is safe, and keeps the ids of those that it has
// handled: an event may arrive more than once.
func ExampleEvent() {
	secret, err := ringback.ParseSecret("the server's WEBHOOK_SECRET")
	if err != nil {
		log.Fatal(err)
	}
	hook := func(w http.ResponseWriter, r *http.Request) {
		event, err := client.Event(r, secret)
		switch {
		case err != nil:
			http.Error(w, err.Error(), http.StatusBadRequest)
		case event.Type == ringback.EventCompleted:
			fmt.Printf("job %s: %s\n", event.ID, *event.Result)
		default:
			fmt.Printf("job %s %s: %s\n", event.ID, event.Status, event.Error)
		}
	}

	// The server sends this:
	body := `{"type":"job.completed","job_id":"0193c1a7","status":"completed","result":"A call back."}`
	r := httptest.NewRequest(http.MethodPost, "/hook", strings.NewReader(body))
	r.Header = ringback.Sign(secret, "msg_1", time.Now(), []byte(body))
	hook(httptest.NewRecorder(), r)

	// Output: job 0193c1a7: A call back.
}
