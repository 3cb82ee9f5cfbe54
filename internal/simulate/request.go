package simulate

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

const maxBody = 64 << 20

// messagesRequest is what the provider reads of a request; it ignores the rest.
type messagesRequest struct {
	Model     string `json:"model"`
	MaxTokens int    `json:"max_tokens"`
	Stream    bool   `json:"stream"`
	Messages  []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`

	prompt string // the text of the last message
}

// readRequest reads a request and refuses what the real provider would.
func readRequest(r *http.Request, body []byte) (messagesRequest, error) {
	var m messagesRequest
	if ct, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); ct != "application/json" {
		return m, fmt.Errorf("content-type: must be application/json")
	}
	if r.Header.Get("anthropic-version") == "" {
		return m, fmt.Errorf("anthropic-version: header is required")
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return m, fmt.Errorf("the request body is not valid JSON: %w", err)
	}
	switch {
	case m.Model == "":
		return m, fmt.Errorf("model: field required")
	case m.MaxTokens < 1:
		return m, fmt.Errorf("max_tokens: must be at least 1")
	case len(m.Messages) == 0:
		return m, fmt.Errorf("messages: at least one message is required")
	}
	for i, msg := range m.Messages {
		text, err := textOf(msg.Content)
		if err != nil {
			return m, fmt.Errorf("messages.%d.content: %w", i, err)
		}
		if msg.Role != "user" && msg.Role != "assistant" {
			return m, fmt.Errorf("messages.%d.role: must be user or assistant", i)
		}
		m.prompt = text
	}
	return m, nil
}

// textOf is the text of a message: a string, or the text blocks of a list.
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
