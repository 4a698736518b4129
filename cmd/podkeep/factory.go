package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/install"
)

// The client talks to one API server in short bursts; client-go's default of 5
// requests a second would make it wait for itself.
const (
	clientQPS   = 100
	clientBurst = 200
)

// factory makes clients from the persistent flags, in the order of Velero's
// client (velero-facts §8.5): flag, client configuration file, environment,
// default.
type factory struct {
	env        func(string) string
	kubeconfig string
	context    string
	namespace  string
}

func newFactory(env func(string) string) *factory { return &factory{env: env} }

func (f *factory) bind(flags *pflag.FlagSet) {
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "path of the kubeconfig file (default: KUBECONFIG, then ~/.kube/config, then the pod's own)")
	flags.StringVar(&f.context, "kubecontext", "", "context of the kubeconfig file")
	flags.StringVarP(&f.namespace, "namespace", "n", "", `namespace podkeep is installed in (default "velero")`)
}

// Namespace is the install namespace.
func (f *factory) Namespace() (string, error) {
	if f.namespace != "" {
		return f.namespace, nil
	}
	fromFile, err := f.configFileNamespace()
	switch {
	case err != nil:
		return "", err
	case fromFile != "":
		return fromFile, nil
	case f.env("VELERO_NAMESPACE") != "":
		return f.env("VELERO_NAMESPACE"), nil
	}
	return install.DefaultNamespace, nil
}

// configFileNamespace reads Velero's client configuration, so that people who
// set a namespace there find podkeep where they look for Velero.
func (f *factory) configFileNamespace() (string, error) {
	file := filepath.Join(f.env("HOME"), ".config", "velero", "config.json")
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("reading client configuration: %w", err)
	}
	var cfg struct {
		Namespace string `json:"namespace"`
	}
	if err := json.Unmarshal(data, &cfg); err != nil {
		return "", fmt.Errorf("decoding %s: %w", file, err)
	}
	return cfg.Namespace, nil
}

// RESTConfig is the connection to the cluster.
func (f *factory) RESTConfig() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: f.context}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; name it with --kubeconfig or KUBECONFIG", err)
	}
	cfg.QPS, cfg.Burst = clientQPS, clientBurst
	return cfg, nil
}

// Client reads and writes podkeep's objects.
func (f *factory) Client() (client.WithWatch, error) {
	cfg, err := f.RESTConfig()
	if err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	return c, nil
}

// newScheme knows Kubernetes' own kinds and Velero's.
func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(s), velerov1.AddToScheme(s), apiextensionsv1.AddToScheme(s))
	if err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	return s, nil
}
