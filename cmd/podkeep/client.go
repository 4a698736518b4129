package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/install"
)

// Exit codes of single commands, most of them of those that wait, besides exitOK and
// exitFailed.
const (
	exitPartiallyFailed = 2
	exitUnprotected     = 3   // of podkeep coverage
	exitInterrupted     = 130 // as a shell reports a command that Ctrl-C has ended
)

// session is what client commands have of the outside world.
type session struct {
	program   string // how the client is called: "podkeep" or "kubectl podkeep"
	connect   func() (client.WithWatch, error)
	api       func() (apiServer, error)
	podLog    func(context.Context, podLogRequest) (io.ReadCloser, error)
	namespace func() (string, error)
	home      func() (string, error) // the install namespace when no flag names it
	current   func() (string, error) // the namespace of the kubeconfig's context
	clock     clock.WithTickerAndDelayedExecution
	terminal  func(io.Writer) *terminal // nil when the writer is none
	config    clientConfig
	contexts  func() []string // of the kubeconfig
	wantColor func() bool     // on a terminal
}

// newClient is the client of people, who call it from day to day.
func newClient(f *factory, program string) *session {
	s := &session{
		program:   program,
		namespace: f.Namespace,
		home:      f.configuredNamespace,
		current:   f.contextNamespace,
		api:       f.apiServer,
		podLog:    f.podLog,
		clock:     clock.RealClock{},
		terminal:  func(w io.Writer) *terminal { return openTerminal(w, f.env) },
		config:    f.config,
		contexts:  f.contexts,
		wantColor: f.wantColor,
	}
	s.connect = func() (client.WithWatch, error) {
		silenceLibraries()
		return f.Client()
	}
	return s
}

func (s *session) commands() []*cobra.Command {
	commands := append(nounCommands(s), verbCommands(s)...)
	commands = append(commands, newCoverageCommand(s), newExplainCommand(s), newPluginCommand(s), newVersionCommand(s), newDebugCommand(s),
		newClientCommand(s), newCompletionCommand(s))
	for _, c := range commands {
		c.GroupID = groupClient
		setUsageErrors(c)
		nameProgram(c, s.program)
	}
	return commands
}

// nameProgram makes the examples call the program by its name.
func nameProgram(cmd *cobra.Command, program string) {
	for _, text := range []*string{&cmd.Long, &cmd.Example} {
		*text = strings.ReplaceAll(*text, "  "+programName+" ", "  "+program+" ")
	}
	for _, c := range cmd.Commands() {
		nameProgram(c, program)
	}
}

// colors reports whether text for a writer may have colors.
func (s *session) colors(w io.Writer) bool { return s.terminal(w) != nil && s.wantColor() }

// configured is a value of the client configuration; "" when there is none, or no
// configuration that can be read: those who need it say so.
func (s *session) configured(key string) string {
	values, err := s.config.load()
	if err != nil {
		return ""
	}
	text, _ := values[key].(string)
	return text
}

// silenceLibraries keeps client-go and controller-runtime from writing into what
// people read: what matters of their errors, commands return. With -v they are
// wanted.
func silenceLibraries() {
	if klog.V(1).Enabled() {
		ctrl.SetLogger(klog.Background())
		return
	}
	klog.SetLogger(logr.Discard())
	ctrl.SetLogger(logr.Discard())
}

// setUsageErrors makes a command and those below it name the next step when they
// are called in a wrong way.
func setUsageErrors(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; list the flags with: %s --help", err, c.CommandPath())
	})
}

// group makes a command that only holds others.
func group(cmd *cobra.Command, subcommands ...*cobra.Command) *cobra.Command {
	cmd.Args = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return fmt.Errorf("unknown command %q; list the commands with: %s --help", c.CommandPath()+" "+args[0], c.CommandPath())
		}
		return nil
	}
	cmd.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	cmd.AddCommand(subcommands...)
	return cmd
}

// nameArgument wants exactly one argument, a name.
func nameArgument(what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) == 1 {
			return nil
		}
		return fmt.Errorf("%d names given, 1 wanted; name the %s: %s", len(args), what, c.UseLine())
	}
}

// atMostOneName wants one argument or none.
func atMostOneName(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("%d names given, at most 1 wanted: %s", len(args), c.UseLine())
	}
	return nil
}

// cluster is one installation and a connection to it.
type cluster struct {
	client.WithWatch
	namespace string
	program   string
}

func (s *session) open() (cluster, error) {
	namespace, err := s.namespace()
	if err != nil {
		return cluster{}, err
	}
	c, err := s.connect()
	return cluster{WithWatch: c, namespace: namespace, program: s.program}, err
}

// command is how podkeep is called for this installation.
func (t cluster) command() string { return commandFor(t.program, t.namespace) }

func commandFor(program, namespace string) string {
	if namespace == install.DefaultNamespace {
		return program
	}
	return program + " -n " + namespace
}

// explain turns an error of the API into a sentence that ends in the next
// command. name is "" when the request was not for a single object.
func (t cluster) explain(ctx context.Context, err error, k kind, name string) error {
	switch {
	case err == nil:
		return nil
	case isNotInstalled(err):
		return fmt.Errorf("podkeep is not installed in this cluster; install it with: %s install", t.program)
	case apierrors.IsNotFound(err) && isNamespaceMissing(err):
		return fmt.Errorf("namespace %q does not exist; %s", t.namespace, t.elsewhereOr(ctx, "install podkeep with: "+t.program+" install"))
	case apierrors.IsNotFound(err):
		return fmt.Errorf("%s %q not found in namespace %s; %s", k.name, name, t.namespace,
			t.elsewhereOr(ctx, fmt.Sprintf("list %s with: %s %s get", k.plural, t.command(), k.verb)))
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%s %q already exists; choose another name, or look at it with: %s %s", k.name, name, t.command(), k.look(name))
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; see what you may do with: kubectl auth can-i --list -n %s", err, t.namespace)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the cluster does not accept your credentials: %w; check them with: kubectl auth whoami", err)
	case isUnreachable(err):
		return fmt.Errorf("the cluster does not answer: %w; check it with: kubectl cluster-info", err)
	default:
		return err
	}
}

// elsewhereOr points to an installation in another namespace when there is none
// in this one; otherwise it is the given next step.
func (t cluster) elsewhereOr(ctx context.Context, next string) string {
	if others := t.elsewhere(ctx); len(others) > 0 {
		return fmt.Sprintf("podkeep is not installed there but in %s: pass -n %s", strings.Join(others, ", "), others[0])
	}
	return next
}

// elsewhere returns the namespaces that hold a server when this one does not. It
// is a hint only, so people who may not list Deployments do without.
func (t cluster) elsewhere(ctx context.Context) []string {
	servers := &appsv1.DeploymentList{}
	err := t.List(ctx, servers, client.MatchingLabels{velerov1.ComponentLabel: velerov1.ComponentLabelValue})
	if err != nil {
		return nil
	}
	var namespaces []string
	for _, d := range servers.Items {
		if d.Name == install.ServerName {
			namespaces = append(namespaces, d.Namespace)
		}
	}
	if slices.Contains(namespaces, t.namespace) {
		return nil
	}
	slices.Sort(namespaces)
	return namespaces
}

// isNotInstalled reports whether the cluster does not know podkeep's kinds.
func isNotInstalled(err error) bool {
	if meta.IsNoMatchError(err) {
		return true
	}
	// A kind that went away after discovery: 404 without the name of an object.
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && apierrors.IsNotFound(err) && (status.ErrStatus.Details == nil || status.ErrStatus.Details.Name == "")
}

func isNamespaceMissing(err error) bool {
	status, ok := errors.AsType[*apierrors.StatusError](err)
	return ok && status.ErrStatus.Details != nil && status.ErrStatus.Details.Kind == "namespaces"
}

func isUnreachable(err error) bool {
	return utilnet.IsConnectionRefused(err) || utilnet.IsConnectionReset(err) || utilnet.IsTimeout(err) || utilnet.IsProbableEOF(err)
}
