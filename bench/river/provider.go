package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// provider speaks Anthropic's Messages API.
type provider struct {
	client *http.Client
	url    string
	stream bool
}

type answer struct {
	text  string
	model string
	usage usage
}

type usage struct {
	InputTokens  int `json:"input_tokens"`
	OutputTokens int `json:"output_tokens"`
}

func (p provider) call(ctx context.Context, args generateArgs) (answer, error) {
	body, err := json.Marshal(map[string]any{
		"model":      args.Model,
		"max_tokens": args.MaxTokens,
		"messages":   []map[string]string{{"role": "user", "content": args.Prompt}},
		"stream":     p.stream,
	})
	if err != nil {
		return answer{}, fmt.Errorf("encode request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Api-Key", "bench")
	req.Header.Set("Anthropic-Version", "2023-06-01")
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("call provider: %w", err)
	}
	defer func() { drain(resp.Body); _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("call provider: %s", resp.Status)
	}
	if p.stream {
		return readStream(resp.Body)
	}
	return readMessage(resp.Body)
}

func readMessage(r io.Reader) (answer, error) {
	var m struct {
		Model   string
		Content []struct{ Text string }
		Usage   usage
	}
	if err := json.NewDecoder(r).Decode(&m); err != nil {
		return answer{}, fmt.Errorf("read answer: %w", err)
	}
	var text strings.Builder
	for _, block := range m.Content {
		text.WriteString(block.Text)
	}
	return answer{text.String(), m.Model, m.Usage}, nil
}

// readStream concatenates the text of a stream of events. One that ends before its
// message_stop is no answer.
func readStream(r io.Reader) (answer, error) {
	var (
		a    answer
		text strings.Builder
	)
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue
		}
		var event struct {
			Type    string
			Message struct {
				Model string
				Usage usage
			}
			Delta struct{ Text string }
			Usage usage
			Error struct{ Message string }
		}
		if err := json.Unmarshal(data, &event); err != nil {
			return answer{}, fmt.Errorf("read stream: %w", err)
		}
		switch event.Type {
		case "message_start":
			a.model, a.usage = event.Message.Model, event.Message.Usage
		case "content_block_delta":
			text.WriteString(event.Delta.Text)
		case "message_delta":
			a.usage.OutputTokens = event.Usage.OutputTokens
		case "error":
			return answer{}, fmt.Errorf("read stream: %s", event.Error.Message)
		case "message_stop":
			a.text = text.String()
			return a, nil
		}
	}
	if err := lines.Err(); err != nil {
		return answer{}, fmt.Errorf("read stream: %w", err)
	}
	return answer{}, fmt.Errorf("read stream: %w", io.ErrUnexpectedEOF)
}

// drain reads a body to its end, which is required to reuse its connection.
func drain(body io.Reader) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 64<<10))
}
