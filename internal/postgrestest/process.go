//go:build unix

package postgrestest

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

//go:embed guard.sh
var guardScript string

// process is a server program with its own directory, in which it is started again and
// again. No goroutine waits for it: one that lives as long as the test process would look
// like a leak.
type process struct {
	name   string
	dir    string
	owner  *syscall.Credential // nil: the present user
	guard  *exec.Cmd           // removes everything when orders closes
	orders *os.File            // sends the guard the process's id
	pid    int                 // 0 while it is not running
}

// newProcess makes the directory, and the guard that removes it.
func newProcess(name string) (*process, error) {
	owner, err := serverUser()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(roomyDir(), "ringback-"+name+"-")
	if err != nil {
		return nil, err
	}
	p := &process{name: name, dir: dir, owner: owner}
	err = p.own(dir)
	if err == nil {
		err = p.startGuard()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// serverUser returns the user for servers that refuse to run as root: postgres if we are
// root, otherwise nil, which is the present user.
func serverUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w: sudo apt-get install -y postgresql", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// roomyDir returns the best place for a server's files: in memory, if there is room for
// them (containers have 64 MiB), otherwise where temporary files go.
func roomyDir() string {
	const memory = "/dev/shm"
	var s unix.Statfs_t
	if err := unix.Statfs(memory, &s); err != nil || float64(s.Bavail)*float64(s.Bsize) < 2<<30 {
		return os.TempDir()
	}
	return memory
}

// own gives a file to the server's user.
func (p *process) own(path string) error {
	if p.owner == nil {
		return nil
	}
	return os.Chown(path, int(p.owner.Uid), int(p.owner.Gid))
}

// write makes a file for the server in its directory.
func (p *process) write(name, content string) (path string, err error) {
	path = filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", err
	}
	return path, p.own(path)
}

func (p *process) startGuard() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	p.orders = w
	p.guard = exec.Command("/bin/sh", "-c", guardScript, "guard.sh", p.dir)
	p.guard.Stdin = r
	p.guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // so that Ctrl-C does not end it too early
	if err := p.guard.Start(); err != nil {
		return errors.Join(fmt.Errorf("start the guard of %s: %w", p.name, err), w.Close())
	}
	return nil
}

// run runs another program in the directory, as the server's user, to its end.
func (p *process) run(program string, args ...string) error {
	cmd := p.command(program, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, out)
	}
	return nil
}

func (p *process) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = p.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Credential: p.owner}
	return cmd
}

func (p *process) start(program string, args ...string) error {
	if p.pid != 0 {
		return fmt.Errorf("start %s: it runs already", p.name)
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.command(program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.pid = cmd.Process.Pid
	_, err = fmt.Fprintln(p.orders, p.pid)
	return errors.Join(err, cmd.Process.Release())
}

func (p *process) logFile() string { return filepath.Join(p.dir, "log") }

func (p *process) log() string {
	log, err := os.ReadFile(p.logFile())
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// await calls try until it succeeds, or the process has ended.
func (p *process) await(try func(context.Context) error) error {
	ctx, cancel := soon()
	defer cancel()
	for {
		ended, err := p.ended()
		if err != nil {
			return err
		}
		if ended {
			return fmt.Errorf("%s has ended:\n%s", p.name, p.log())
		}
		if err = try(ctx); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s does not answer: %w\n%s", p.name, err, p.log())
		}
		time.Sleep(pause)
	}
}

// pause is the time between two checks of a process.
const pause = 2 * time.Millisecond

// ended reports whether the process has ended.
func (p *process) ended() (bool, error) {
	if p.pid == 0 {
		return true, nil
	}
	pid, err := syscall.Wait4(p.pid, nil, syscall.WNOHANG, nil)
	if err != nil {
		return false, fmt.Errorf("wait for %s: %w", p.name, err)
	}
	if pid == 0 {
		return false, nil
	}
	p.pid = 0
	_, err = fmt.Fprintln(p.orders)
	return true, err
}

// stop asks the process to end by a signal, and waits for its end.
func (p *process) stop(sig syscall.Signal) error {
	if err := p.signal(sig, p.pid); err != nil {
		return err
	}
	return p.awaitEnd()
}

func (p *process) awaitEnd() error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(pause) {
		if ended, err := p.ended(); ended || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not end:\n%s", p.name, p.log())
		}
	}
}

// kill kills the process and its children.
func (p *process) kill() error {
	if err := p.freeze(); err != nil { // so that it neither cleans up nor has more children
		return err
	}
	if err := p.signalAll(syscall.SIGKILL); err != nil {
		return err
	}
	return p.awaitEnd()
}

func (p *process) freeze() error {
	if err := p.signal(syscall.SIGSTOP, p.pid); err != nil { // first, so that it starts no child meanwhile
		return err
	}
	return p.signalAll(syscall.SIGSTOP)
}

func (p *process) thaw() error { return p.signalAll(syscall.SIGCONT) }

// signalAll signals the process's children, then the process.
func (p *process) signalAll(sig syscall.Signal) error {
	children, err := p.children()
	if err != nil {
		return err
	}
	return p.signal(sig, append(children, p.pid)...)
}

// signal signals some of the process's family; one that has just ended is no error.
func (p *process) signal(sig syscall.Signal, pids ...int) error {
	if p.pid == 0 {
		return fmt.Errorf("%v to %s: it does not run", sig, p.name)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("%v to %s: %w", sig, p.name, err)
		}
	}
	return nil
}

func (p *process) children() ([]int, error) {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(p.pid)).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 { // none
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the processes of %s: %w: sudo apt-get install -y procps", p.name, err)
	}
	var pids []int
	for field := range strings.FieldsSeq(string(out)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// remove ends the process, whatever its state, and removes its directory.
func (p *process) remove() error {
	var err error
	if p.pid != 0 {
		err = errors.Join(p.thaw(), p.stop(immediate))
	}
	return errors.Join(err, p.orders.Close(), p.guard.Wait())
}

// freePort returns a port that is not in use. It is not among those that the system assigns
// to clients: a client that connects to a stopped server could be assigned that server's
// own port, and keep it.
func freePort() (int, error) {
	for range 100 {
		port := 20000 + rand.IntN(12000)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no port is free")
}
