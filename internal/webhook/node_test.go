package webhook

import (
	"bufio"
	"encoding/base64"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// node is a Node.js process that parses each body and writes it again.
type node struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// Lines are base64: U+2028 would end a line for Node's readline.
const nodeScript = `
	let rest = '';
	process.stdin.setEncoding('latin1').on('data', (chunk) => {
		const lines = (rest + chunk).split('\n');
		rest = lines.pop();
		for (const line of lines) {
			let answer;
			try {
				answer = JSON.stringify(JSON.parse(Buffer.from(line, 'base64').toString('utf8')));
			} catch (e) {
				answer = 'not JSON: ' + e;
			}
			process.stdout.write(Buffer.from(answer).toString('base64') + '\n');
		}
	});`

func startNode(tb testing.TB) *node {
	tb.Helper()
	cmd := exec.Command("node", "-e", nodeScript)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatalf("this test compares with JavaScript and needs Node.js as node on the PATH: %v", err)
	}
	tb.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			tb.Errorf("node: %v", err)
		}
	})
	return &node{in, bufio.NewReader(out)}
}

// rewrite returns JSON.stringify(JSON.parse(body)).
func (n *node) rewrite(tb interface{ Fatalf(string, ...any) }, body []byte) string {
	if _, err := io.WriteString(n.in, base64.StdEncoding.EncodeToString(body)+"\n"); err != nil {
		tb.Fatalf("write to node: %v", err)
	}
	line, err := n.out.ReadString('\n')
	if err != nil {
		tb.Fatalf("read from node: %v", err)
	}
	answer, err := base64.StdEncoding.DecodeString(strings.TrimSuffix(line, "\n"))
	if err != nil {
		tb.Fatalf("read from node: %v", err)
	}
	return string(answer)
}
