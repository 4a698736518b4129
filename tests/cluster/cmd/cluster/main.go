// Command cluster builds, starts and removes the Kubernetes cluster that
// podkeep is tested on, and its second node. README.md in tests/cluster explains it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/podkeep/podkeep/tests/cluster"
	"github.com/podkeep/podkeep/tests/cluster/internal/artifacts"
	"github.com/podkeep/podkeep/tests/cluster/internal/host"
	"github.com/podkeep/podkeep/tests/cluster/internal/node"
	"github.com/podkeep/podkeep/tests/cluster/internal/progress"
)

const usage = `Usage: cluster VERB

  up                 build what is missing and start the cluster; nothing if it is up
  down               remove the cluster and check that nothing is left
  node add           start the second node of a cluster that is up; nothing if it is there
  node remove        remove it, with what runs on it
  status             print the components; fails if the cluster is not up and well
  load-image FILE    import an image from a tar file (OCI or Docker archive)
  kubeconfig         print the path of the administrator's kubeconfig
  assets             print the folder of kube-apiserver, etcd and kubectl (for envtest); build it if missing
  logs               print the folder of the log files
  exec -- CMD ...    run a program in the node's namespaces
  kill COMPONENT     kill a component as a crash would; it stays away
  start COMPONENT    start it again
  restart COMPONENT  both

Components: `

// errUsage is returned for a verb or arguments that do not exist.
var errUsage = errors.New("unknown verb or wrong arguments: run `cluster help`")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		args = []string{"help"}
	}
	verb, args := args[0], args[1:]
	h := &host.Host{State: cluster.DefaultStateDir(), Node: cluster.First, Out: progress.New(os.Stdout, time.Now)}
	switch {
	case verb == "help":
		fmt.Println(usage + strings.Join(node.Components(cluster.First), ", "))
		return nil
	case verb == host.InitVerb && len(args) == 3:
		return initNode(args)
	case verb == "exec" && len(args) > 0:
		return execInNode(h, args)
	case len(args) == 0:
		return runPlain(ctx, h, verb)
	case len(args) == 1:
		return runWithArgument(ctx, h, verb, args[0])
	}
	return errUsage
}

func runPlain(ctx context.Context, h *host.Host, verb string) error {
	switch verb {
	case "up":
		return h.WithLock(func() error { return h.Up(ctx, time.Now()) })
	case "down":
		return h.WithLock(func() error { return h.Down(ctx) })
	case "status":
		return printStatus(ctx, h)
	case "kubeconfig":
		fmt.Println(h.State.Kubeconfig())
		return nil
	case "assets":
		h.Out = progress.New(os.Stderr, time.Now)
		return h.WithLock(func() error { return printAssets(ctx, h) })
	case "logs":
		fmt.Println(h.State.Logs())
		return nil
	}
	return errUsage
}

func runWithArgument(ctx context.Context, h *host.Host, verb, argument string) error {
	switch verb {
	case "node":
		return changeNodes(ctx, h, argument)
	case "load-image":
		set, err := artifacts.Current()
		if err != nil {
			return err
		}
		return h.LoadImage(ctx, set, argument)
	case "kill":
		return h.Kill(ctx, argument)
	case "start":
		return h.Start(ctx, argument)
	case "restart":
		if err := h.Kill(ctx, argument); err != nil {
			return err
		}
		return h.Start(ctx, argument)
	}
	return errUsage
}

func changeNodes(ctx context.Context, h *host.Host, change string) error {
	switch change {
	case "add":
		return h.WithLock(func() error { return h.AddNode(ctx, time.Now()) })
	case "remove":
		return h.WithLock(func() error { return h.RemoveNode(ctx) })
	}
	return errUsage
}

// initNode is what this program does as PID 1 of a node: state folder, folder of
// the programs, name.
func initNode(args []string) error {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds)
	n, err := cluster.FindNode(args[2])
	if err != nil {
		return err
	}
	return node.Init(node.Config{State: cluster.StateDir(args[0]), Bin: args[1], Node: n}, os.Stdin)
}

// execInNode replaces this program by another one in the node's namespaces.
func execInNode(h *host.Host, args []string) error {
	if args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		return errUsage
	}
	set, err := artifacts.Current()
	if err != nil {
		return err
	}
	line, err := h.Enter(set, args)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(line[0])
	if err != nil {
		return fmt.Errorf("looking for %s: %w", line[0], err)
	}
	env := append(os.Environ(), "KUBECONFIG="+h.State.Kubeconfig())
	return fmt.Errorf("running %s: %w", path, syscall.Exec(path, line, env))
}

// printAssets prints only the folder to stdout, so that it can be used in a
// command substitution.
func printAssets(ctx context.Context, h *host.Host) error {
	if err := artifacts.EnsurePackages(ctx, h.Out); err != nil {
		return err
	}
	set, err := artifacts.Ensure(ctx, h.Out)
	if err != nil {
		return fmt.Errorf("building: %w", err)
	}
	fmt.Println(set.Bin())
	return nil
}

// printStatus prints one line per component, and the end of the logs of those
// that do not run.
func printStatus(ctx context.Context, h *host.Host) error {
	status, err := h.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("node %s: %s %s\n", h.Node.Name, status.Phase, status.Failure)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tPID\tWANTED\tRESTARTS\tLAST EXIT")
	for _, c := range status.Components {
		fmt.Fprintf(table, "%s\t%d\t%t\t%d\t%s\n", c.Name, c.PID, c.Wanted, c.Restarts, c.LastExit)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the components: %w", err)
	}
	stopped := slices.DeleteFunc(status.Components, func(c node.ComponentStatus) bool { return c.PID != 0 })
	for _, c := range stopped {
		if c.LastExit == "" {
			continue // never started
		}
		fmt.Printf("\nThe end of %s:\n%s\n", h.State.Log(c.Name), h.Tail(c.Name))
	}
	if len(stopped) > 0 || status.Phase != node.Running {
		return fmt.Errorf("%d of %d components do not run", len(stopped), len(node.Components(h.Node)))
	}
	return nil
}
