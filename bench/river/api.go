package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

// maxRequest has room for a prompt of 1 MiB, with all of it escaped.
const maxRequest = 8 << 20

type api struct {
	client  *river.Client[pgx.Tx]
	results results
}

func newAPI(client *river.Client[pgx.Tx], results results) http.Handler {
	d := api{client, results}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/generate", d.generate)
	mux.HandleFunc("GET /api/jobs/{id}", d.job)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	return mux
}

// generate answers 202 once the transaction that holds the job is committed.
func (d api) generate(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var args generateArgs
	if err := json.Unmarshal(body, &args); err != nil || args.Prompt == "" || args.Model == "" || args.CallbackURL == "" {
		http.Error(w, "prompt, model and callback_url are required", http.StatusBadRequest)
		return
	}
	args.JobID = uuid.Must(uuid.NewV7()) // ids in the order of time fill the index of results from its end
	if _, err := d.client.Insert(r.Context(), args, nil); err != nil {
		log.Printf("insert job: %v", err)
		http.Error(w, "the job could not be kept", http.StatusServiceUnavailable)
		return
	}
	writeStatus(w, http.StatusAccepted, jobStatus{args.JobID, "queued"})
}

// job answers with the body of the job's webhook once there is one.
func (d api) job(w http.ResponseWriter, r *http.Request) {
	id, err := uuid.Parse(r.PathValue("id"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	body, status, err := d.results.find(r.Context(), id)
	switch {
	case err != nil:
		log.Print(err)
		http.Error(w, "the job could not be looked up", http.StatusServiceUnavailable)
	case body != "":
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	case status != "":
		writeStatus(w, http.StatusOK, jobStatus{id, status})
	default:
		http.NotFound(w, r)
	}
}

type jobStatus struct {
	JobID  uuid.UUID `json:"job_id"`
	Status string    `json:"status"`
}

func writeStatus(w http.ResponseWriter, code int, job jobStatus) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(job); err != nil {
		log.Printf("answer: %v", err)
	}
}
