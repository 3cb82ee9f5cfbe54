package dead

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/client"
	"github.com/ringback/ringback/internal/cli/remote"
	"github.com/ringback/ringback/internal/exit"
	"github.com/ringback/ringback/internal/terminal"
)

// inPartsWith replays dead jobs on a server of the test's, which has 500 of them.
func inPartsWith(t *testing.T, answer func(w http.ResponseWriter, a ringback.DeadAction, cancel func())) (out string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var a ringback.DeadAction
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil || *a.Limit != part || !a.All {
			t.Errorf("asked for %+v, %v", a, err)
		}
		answer(w, a, cancel)
	}))
	defer server.Close()
	var data, talk bytes.Buffer
	s := &remote.Session{Output: terminal.Output{Out: &data, Talk: &talk}}
	s.Client, err = client.New(client.Config{URL: server.URL, HTTPClient: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}})
	if err != nil {
		t.Fatal(err)
	}
	err = inParts(ctx, s, ringback.DeadAction{DeadFilter: ringback.DeadFilter{Kind: ringback.DeadJob}, All: true}, replaying)
	return data.String(), err
}

func TestManyDeadLettersAreDealtWithInParts(t *testing.T) {
	cursors := []string{}
	out, err := inPartsWith(t, func(w http.ResponseWriter, a ringback.DeadAction, _ func()) {
		cursors = append(cursors, a.Cursor)
		switch a.Cursor {
		case "":
			fmt.Fprint(w, `{"matched":500,"done":200,"skipped":0,"next_cursor":"c1"}`)
		case "c1":
			fmt.Fprint(w, `{"matched":300,"done":198,"skipped":2,"next_cursor":"c2"}`)
		default:
			fmt.Fprint(w, `{"matched":100,"done":100,"skipped":0,"next_cursor":null}`)
		}
	})
	want := "498 of 500 dead jobs repeated; 2 were skipped: they have moved on meanwhile, or cannot be replayed\n"
	if err != nil || out != want || strings.Join(cursors, " ") != " c1 c2" {
		t.Errorf("with the cursors %q: got %q, %v", cursors, out, err)
	}
}

func TestCtrlCEndsAfterThePartUnderWayAndSaysHowFarItGot(t *testing.T) {
	calls := 0
	out, err := inPartsWith(t, func(w http.ResponseWriter, _ ringback.DeadAction, cancel func()) {
		calls++
		cancel() // in the middle of the call
		fmt.Fprint(w, `{"matched":500,"done":200,"skipped":0,"next_cursor":"c1"}`)
	})
	f, ok := errors.AsType[*exit.Error](err)
	if !ok || f.Code != exit.Interrupted || calls != 1 || out != "200 of 500 dead jobs repeated\n" ||
		err.Error() != "interrupted: 200 of 500 dead jobs repeated; run the same command again to continue with the rest" {
		t.Errorf("after %d calls: got %q, %v", calls, out, err)
	}
}

func TestAPartThatFailsLeavesTheOthersToldOf(t *testing.T) {
	out, err := inPartsWith(t, func(w http.ResponseWriter, a ringback.DeadAction, _ func()) {
		if a.Cursor == "" {
			fmt.Fprint(w, `{"matched":500,"done":200,"skipped":0,"next_cursor":"c1"}`)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"error":"the queue is full","code":"unavailable"}`)
	})
	f, ok := errors.AsType[*exit.Error](err)
	if !ok || f.Code != exit.Unavailable || out != "200 of 500 dead jobs repeated\n" ||
		!strings.HasSuffix(err.Error(), "the queue is full\nBefore that: 200 of 500 dead jobs repeated; run the same command again to continue with the rest") {
		t.Errorf("got %q, %v", out, err)
	}
}
