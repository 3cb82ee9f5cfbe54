// Command null is the ceiling of the bench: the same HTTP hops as a durable pipeline, with
// nothing stored. It replies 202, calls the provider, reads the stream, signs the answer
// and sends it; a crash loses everything.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func main() {
	concurrency, err := strconv.Atoi(os.Getenv("BENCH_CONCURRENCY"))
	if err != nil {
		log.Fatal(err)
	}
	p := pipeline{
		provider: os.Getenv("BENCH_PROVIDER_URL") + "/v1/messages",
		secret:   []byte(os.Getenv("BENCH_SECRET")),
		slots:    make(chan struct{}, concurrency),
		client: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: concurrency, DisableCompression: true,
		}},
	}
	http.HandleFunc("POST /api/generate", p.generate)
	http.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	server := http.Server{Addr: "127.0.0.1:" + os.Getenv("BENCH_PORT"), ReadHeaderTimeout: time.Minute}
	log.Fatal(server.ListenAndServe())
}

type pipeline struct {
	provider string
	secret   []byte
	slots    chan struct{} // jobs at a time
	client   *http.Client
}

type request struct {
	Prompt      string `json:"prompt"`
	Model       string `json:"model"`
	MaxTokens   int    `json:"max_tokens"`
	CallbackURL string `json:"callback_url"`
}

func (p *pipeline) generate(w http.ResponseWriter, r *http.Request) {
	var req request
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id := rand.Text()
	go p.work(id, req)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = fmt.Fprintf(w, `{"job_id":%q,"status":"queued"}`, id)
}

func (p *pipeline) work(id string, req request) {
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	start := time.Now()
	text, err := p.call(req)
	if err != nil {
		log.Print(err)
		return
	}
	body, err := json.Marshal(map[string]any{
		"type": "job.completed", "job_id": id, "status": "completed", "result": text,
		"model": req.Model, "duration_ms": time.Since(start).Milliseconds(),
	})
	if err == nil {
		err = p.deliver(req.CallbackURL, body)
	}
	if err != nil {
		log.Print(err)
	}
}

// call calls the provider and assembles the streamed text.
func (p *pipeline) call(req request) (string, error) {
	body, err := json.Marshal(map[string]any{
		"model": req.Model, "max_tokens": req.MaxTokens, "stream": true,
		"messages": []any{map[string]string{"role": "user", "content": req.Prompt}},
	})
	if err != nil {
		return "", err
	}
	resp, err := p.post(p.provider, body, nil)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var text strings.Builder
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, found := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !found {
			continue
		}
		var event struct{ Delta struct{ Text string } }
		if err := json.Unmarshal(data, &event); err != nil {
			return "", err
		}
		text.WriteString(event.Delta.Text)
	}
	return text.String(), lines.Err()
}

func (p *pipeline) deliver(url string, body []byte) error {
	mac := hmac.New(sha256.New, p.secret)
	mac.Write(body)
	resp, err := p.post(url, body, http.Header{"X-Webhook-Signature": {"sha256=" + hex.EncodeToString(mac.Sum(nil))}})
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.Body.Close()
}

func (p *pipeline) post(url string, body []byte, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	req.Header.Set("Content-Type", "application/json")
	return p.client.Do(req)
}
