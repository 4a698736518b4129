package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/artifacts"
	"github.com/podkeep/podkeep/tests/cluster/internal/node"
	"github.com/podkeep/podkeep/tests/cluster/internal/pki"
)

// Up starts the cluster and returns when pods can run in it. If it is up
// already, nothing happens; if there are remains of one, they are removed.
func (h *Host) Up(ctx context.Context, now time.Time) error {
	if h.isUp(ctx) {
		h.Out.Printf("the cluster is already up: %s", h.State.Kubeconfig())
		return nil
	}
	if err := artifacts.EnsurePackages(ctx, h.Out); err != nil {
		return err
	}
	set, err := artifacts.Ensure(ctx, h.Out)
	if err != nil {
		return fmt.Errorf("building: %w", err)
	}
	if err := h.clean(ctx); err != nil {
		return fmt.Errorf("removing what an earlier cluster left: %w", err)
	}
	h.Out.Printf("starting the node")
	if err := h.prepare(now); err != nil {
		return err
	}
	pid, err := h.startNode(ctx, set, link)
	if err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	images := make(chan error, 1)
	go func() { images <- h.importImages(ctx, pid, set) }()
	if err := h.awaitComponents(ctx); err != nil {
		return err
	}
	if err := <-images; err != nil {
		return err
	}
	if err := h.setUp(ctx, set); err != nil {
		return err
	}
	if err := os.WriteFile(h.State.Complete(), nil, 0o644); err != nil {
		return fmt.Errorf("noting that the cluster is up: %w", err)
	}
	h.Out.Printf("the cluster is up: %s", h.State.Kubeconfig())
	return nil
}

func (h *Host) isUp(ctx context.Context) bool {
	if _, err := os.Stat(h.State.Complete()); err != nil {
		return false
	}
	status, err := h.Status(ctx)
	return err == nil && status.Phase == node.Running
}

// prepare makes the files that the node finds when it starts.
func (h *Host) prepare(now time.Time) error {
	if err := makeFolders(
		h.State.PKI(""), h.State.Logs(), h.State.Config(""), h.State.Join("volumes"),
		h.State.Join("s3", cluster.S3Bucket), // the gateway takes a folder for a bucket
	); err != nil {
		return err
	}
	if err := pki.Write(h.State, now); err != nil {
		return fmt.Errorf("making certificates: %w", err)
	}
	if err := h.makeMountPoints(); err != nil {
		return fmt.Errorf("making mount points: %w", err)
	}
	if err := makeCgroups(h.Node); err != nil {
		return fmt.Errorf("making cgroups: %w", err)
	}
	return h.copyCommand()
}

func makeFolders(dirs ...string) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making the state folder: %w", err)
		}
	}
	return nil
}

// makeMountPoints makes the folders that the node mounts on, and notes those
// that were not there before.
func (h *Host) makeMountPoints() error {
	var made []string
	for _, dir := range node.MountPoints() {
		err := os.Mkdir(dir, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		made = append(made, dir)
	}
	return os.WriteFile(h.State.MountPoints(), []byte(strings.Join(made, "\n")), 0o644)
}

func (h *Host) copyCommand() error {
	source, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("opening this program: %w", err)
	}
	defer source.Close()
	target, err := os.OpenFile(h.State.Command(), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return fmt.Errorf("copying this program: %w", err)
	}
	defer target.Close()
	if _, err := io.Copy(target, source); err != nil {
		return fmt.Errorf("copying this program: %w", err)
	}
	return target.Close()
}

// awaitComponents waits until the supervisor has started everything. The
// supervisor limits the time.
func (h *Host) awaitComponents(ctx context.Context) error {
	seen := map[string]bool{}
	for {
		pid, err := h.nodeProcess()
		if err != nil {
			return err
		}
		if pid == 0 {
			return fmt.Errorf("the node ended: %s", tail(h.State.Log("supervisor")))
		}
		// Until it listens, it does not answer.
		if status, err := h.Status(ctx); err == nil {
			h.printStarted(status, seen)
			switch status.Phase {
			case node.Running:
				return nil
			case node.Failed:
				return h.failure(status)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollInterval):
		}
	}
}

const pollInterval = 200 * time.Millisecond

func (h *Host) printStarted(status node.Status, seen map[string]bool) {
	for _, c := range status.Components {
		if c.PID != 0 && !seen[c.Name] {
			seen[c.Name] = true
			h.Out.Printf("started %s", c.Name)
		}
	}
}

// failure is the error of a node that failed to start.
func (h *Host) failure(status node.Status) error {
	log := status.Component
	if log == "" {
		log = "kube-apiserver" // all that is waited for
	}
	return fmt.Errorf("%s; the end of %s:\n%s", status.Failure, h.State.Log(log), tail(h.State.Log(log)))
}

// tailLines is what a failure shows of a log.
const tailLines = 20

// Tail returns the last lines of a component's log.
func (h *Host) Tail(component string) string {
	return tail(h.State.Log(component))
}

func tail(path string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n")
}
