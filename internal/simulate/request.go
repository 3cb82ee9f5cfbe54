package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
)

const maxBody = 64 << 20

// request is the part of a request that the provider reads; it ignores the rest.
type request struct {
	Model         string `json:"model"`
	MaxTokens     *int   `json:"max_tokens"`
	Stream        bool   `json:"stream"`
	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Messages []struct {
		Role      string          `json:"role"`
		Content   json.RawMessage `json:"content"`
		ToolCalls json.RawMessage `json:"tool_calls"`
	} `json:"messages"`

	prompt string // the text of the last message
}

// read parses a request and refuses what the real provider would.
func (d dialect) read(h http.Header, body []byte) (request, error) {
	var m request
	if ct, _, _ := mime.ParseMediaType(h.Get("Content-Type")); ct != "application/json" {
		return m, fmt.Errorf("content-type: must be application/json")
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("the request body is not valid JSON: %w", err)
	}
	switch {
	case m.Model == "":
		return m, fmt.Errorf("model: field required")
	case len(m.Messages) == 0:
		return m, fmt.Errorf("messages: at least one message is required")
	}
	for i, msg := range m.Messages {
		text, err := textOf(msg.Content)
		if err != nil && msg.ToolCalls == nil {
			return m, fmt.Errorf("messages.%d.content: %w", i, err)
		}
		m.prompt = text
	}
	return m, d.check(h, m)
}

// roles refuses messages of other roles.
func (m request) roles(known ...string) error {
	for i, msg := range m.Messages {
		if !slices.Contains(known, msg.Role) {
			return fmt.Errorf("messages.%d.role: must be one of %s", i, strings.Join(known, ", "))
		}
	}
	return nil
}

// textOf returns the text of a message: a string, or the text blocks of a list.
func textOf(content json.RawMessage) (string, error) {
	var text string
	if json.Unmarshal(content, &text) == nil && text != "" {
		return text, nil
	}
	var blocks []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if err := json.Unmarshal(content, &blocks); err != nil || len(blocks) == 0 {
		return "", fmt.Errorf("must be a non-empty string or a list of blocks")
	}
	var texts []string
	for _, b := range blocks {
		if b.Type == "text" {
			texts = append(texts, b.Text)
		}
	}
	return strings.Join(texts, "\n"), nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
}
