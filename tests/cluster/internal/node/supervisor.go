package node

import (
	"fmt"
	"log"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Phase is how far the node has come.
type Phase string

// The phases. Failed is final: the node must be taken down.
const (
	Starting Phase = "Starting"
	Running  Phase = "Running"
	Failed   Phase = "Failed"
)

// Status is what the supervisor knows.
type Status struct {
	Phase      Phase             `json:"phase"`
	Failure    string            `json:"failure,omitempty"`   // why Failed
	Component  string            `json:"component,omitempty"` // whose end was the failure; empty if none's
	Components []ComponentStatus `json:"components"`
}

// ComponentStatus describes one component.
type ComponentStatus struct {
	Name string `json:"name"`
	// PID is the process id in the node; 0 when it does not run.
	PID int `json:"pid"`
	// Wanted is false for a component that was never started or was killed on
	// request. One that is wanted is started again when it ends.
	Wanted bool `json:"wanted"`
	// Restarts counts the ends nobody asked for.
	Restarts int `json:"restarts"`
	// LastExit says how the component last ended; empty if it never has.
	LastExit string `json:"lastExit,omitempty"`
}

// restartDelay keeps a component that dies at once from taking a core.
const restartDelay = time.Second

// supervisor starts the components and is told of every process that ends.
type supervisor struct {
	config Config

	mu         sync.Mutex
	phase      Phase                       // guarded by mu
	failure    string                      // guarded by mu
	failed     string                      // guarded by mu
	components map[string]*ComponentStatus // guarded by mu
}

func newSupervisor(config Config) *supervisor {
	s := &supervisor{config: config, phase: Starting, components: map[string]*ComponentStatus{}}
	for _, name := range Components(config.Node) {
		s.components[name] = &ComponentStatus{Name: name}
	}
	return s
}

// start starts a component unless it runs.
func (s *supervisor) start(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.components[name]
	c.Wanted = true
	if c.PID != 0 {
		return nil
	}
	return s.launch(c)
}

// launch is called with mu held, so that the process cannot be reaped before
// its id is known.
func (s *supervisor) launch(c *ComponentStatus) error {
	output, err := os.OpenFile(s.config.State.Log(c.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening the log of %s: %w", c.Name, err)
	}
	defer output.Close()
	none, err := os.Open(os.DevNull)
	if err != nil {
		return fmt.Errorf("starting %s: %w", c.Name, err)
	}
	defer none.Close()
	argv := append([]string{c.Name}, arguments(c.Name, s.config)...)
	process, err := os.StartProcess(program(c.Name, s.config.Bin), argv, &os.ProcAttr{
		Dir:   "/",
		Env:   Environment(s.config.Bin),
		Files: []*os.File{none, output, output},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return fmt.Errorf("starting %s: %w", c.Name, err)
	}
	c.PID = process.Pid
	log.Printf("Started %s, process %d", c.Name, c.PID)
	return process.Release()
}

// kill ends a component for good, as a crash would: it is not asked. It returns
// when the process is gone.
func (s *supervisor) kill(name string) error {
	s.mu.Lock()
	c := s.components[name]
	c.Wanted = false
	pid := c.PID
	s.mu.Unlock()
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("killing %s: %w", name, err)
	}
	for range 50 {
		if s.pid(name) != pid {
			return nil
		}
		time.Sleep(pollInterval)
	}
	return fmt.Errorf("%s, process %d, is still there 10s after it was killed", name, pid)
}

func (s *supervisor) pid(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.components[name].PID
}

// reap collects every process that ends: components, and what containerd's
// shims and others leave to PID 1.
func (s *supervisor) reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for range ended {
		s.reapAll()
	}
}

func (s *supervisor) reapAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		s.ended(pid, status)
	}
}

// ended is called with mu held.
func (s *supervisor) ended(pid int, status syscall.WaitStatus) {
	for _, c := range s.components {
		if c.PID != pid {
			continue
		}
		c.PID = 0
		c.LastExit = describe(status)
		log.Printf("%s, process %d, ended: %s", c.Name, pid, c.LastExit)
		if !c.Wanted {
			return
		}
		if s.phase == Starting {
			s.fail(c.Name, fmt.Sprintf("%s ended: %s", c.Name, c.LastExit))
			return
		}
		c.Restarts++
		time.AfterFunc(restartDelay, func() { s.restartWanted(c.Name) })
		return
	}
}

// restartWanted starts a component that ended by itself, unless it was killed
// on request or started meanwhile.
func (s *supervisor) restartWanted(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.components[name]
	if !c.Wanted || c.PID != 0 {
		return
	}
	if err := s.launch(c); err != nil {
		log.Print(err)
	}
}

// fail is called with mu held. The first failure counts.
func (s *supervisor) fail(component, reason string) {
	if s.phase != Starting {
		return
	}
	s.phase, s.failed, s.failure = Failed, component, reason
	log.Printf("Failed: %s", reason)
}

func (s *supervisor) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Phase: s.phase, Failure: s.failure, Component: s.failed}
	for _, name := range Components(s.config.Node) {
		status.Components = append(status.Components, *s.components[name])
	}
	return status
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal " + status.Signal().String()
	}
	return fmt.Sprintf("exit code %d", status.ExitStatus())
}

// Environment is that of every process in the node.
func Environment(bin string) []string {
	return []string{
		"PATH=" + bin + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root",
		"LANG=C.UTF-8",
	}
}
