package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/config/monitoring"
	"github.com/podkeep/podkeep/internal/installation"
	"github.com/podkeep/podkeep/internal/version"
	"github.com/podkeep/podkeep/webhook/registration"
	"github.com/podkeep/podkeep/webhook/serving"
)

// repositoryPasswordBytes of randomness make a password that cannot be guessed.
const repositoryPasswordBytes = 32

type installFlags struct {
	image           string
	imagePullPolicy string
	provider        string
	bucket          string
	prefix          string
	config          map[string]string
	secretFile      string
	noSecret        bool
	noLocation      bool
	caCertFile      string
	kubeletRoot     string
	nodeAgentConfig string
	privileged      bool
	monitoring      bool
	monitorLabels   map[string]string
	defaultToFSB    bool
	serverArgs      []string
	nodeAgentArgs   []string
	webhookArgs     []string
	webhookCerts    string
	dryRun          bool
	output          string
	wait            bool
	timeout         time.Duration
}

func newInstallCommand(f *factory) *cobra.Command {
	var flags installFlags
	cmd := &cobra.Command{
		Use:     "install",
		GroupID: groupInstall,
		Short:   "Install podkeep, or bring an installation to this version",
		Example: `  # any S3 storage; credentials is an AWS shared credentials file
  podkeep install --provider aws --bucket backups --secret-file credentials \
    --backup-location-config region=eu-west-1,s3Url=https://s3.example.com

  # see what would be installed
  podkeep install --provider aws --bucket backups --secret-file credentials --dry-run -o yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runInstall(cmd, f, flags) },
	}
	flags.bind(cmd)
	return cmd
}

func (f *installFlags) bind(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.image, "image", "ghcr.io/podkeep/podkeep:"+version.Version, "podkeep's image")
	fs.StringVar(&f.imagePullPolicy, "image-pull-policy", "", "Always, IfNotPresent or Never (default: Kubernetes' own)")
	fs.StringVar(&f.provider, "provider", "", "storage of the default location: aws (any S3) or filesystem")
	fs.StringVar(&f.bucket, "bucket", "", "bucket of the default location")
	fs.StringVar(&f.prefix, "prefix", "", "folder inside the bucket")
	fs.StringToStringVar(&f.config, "backup-location-config", nil,
		"configuration of the default location, for example region=eu-west-1,s3Url=https://s3.example.com")
	fs.StringVar(&f.secretFile, "secret-file", "", "file with the storage credentials, in the format of an AWS shared credentials file")
	fs.BoolVar(&f.noSecret, "no-secret", false, "install no credentials; the cloud attaches an identity to the pods")
	fs.BoolVar(&f.noLocation, "no-default-backup-location", false, "install no storage location")
	fs.StringVar(&f.caCertFile, "cacert", "", "file with the PEM certificates that the storage's certificate is checked with")
	fs.StringVar(&f.kubeletRoot, "kubelet-root-dir", install.DefaultKubeletRoot, "root directory of the kubelets")
	fs.StringVar(&f.nodeAgentConfig, "node-agent-configmap", "", "name of the ConfigMap with the node agents' settings")
	fs.BoolVar(&f.privileged, "privileged-node-agent", false, "run the node agents as privileged containers")
	fs.BoolVar(&f.monitoring, "monitoring", false, "install alerts and a scrape configuration for the Prometheus operator")
	fs.StringToStringVar(&f.monitorLabels, "monitoring-labels", nil,
		"labels by which Prometheus selects them, for example release=prometheus; implies --monitoring")
	fs.BoolVar(&f.defaultToFSB, "default-volumes-to-fs-backup", false, "back up all volumes of pods that have no other policy")
	fs.StringArrayVar(&f.serverArgs, "server-arg", nil, "argument to pass to the server; can be repeated")
	fs.StringArrayVar(&f.nodeAgentArgs, "node-agent-arg", nil, "argument to pass to the node agents; can be repeated")
	fs.StringArrayVar(&f.webhookArgs, "webhook-arg", nil, "argument to pass to the webhook; can be repeated")
	fs.StringVar(&f.webhookCerts, "webhook-certs", installation.AutoIssuer,
		"who makes the webhook's certificates: cert-manager, self-signed, or auto: cert-manager where it runs")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print the objects and change nothing")
	fs.StringVarP(&f.output, "output", "o", "", "with --dry-run: yaml")
	fs.BoolVar(&f.wait, "wait", true, "wait until the installation works")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to wait")
}

func runInstall(cmd *cobra.Command, f *factory, flags installFlags) error {
	options, err := flags.options(f)
	if err != nil {
		return err
	}
	if options.CertificateIssuer, err = flags.chooseIssuer(cmd, f, options.Namespace); err != nil {
		return err
	}
	objects, err := install.Objects(options)
	if err != nil {
		return err
	}
	if flags.dryRun {
		return printObjects(cmd.OutOrStdout(), objects)
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	if err := checkMonitoring(options, c.RESTMapper()); err != nil {
		return err
	}
	in := installation.Installer{Client: c, Out: cmd.OutOrStdout(), KeepSecrets: []string{install.RepositorySecret}}
	if err := in.Apply(cmd.Context(), objects); err != nil {
		return err
	}
	if !flags.wait {
		fmt.Fprintln(cmd.OutOrStdout(), "podkeep is being installed; look at it with: kubectl get pods -n", options.Namespace)
		return nil
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), flags.timeout)
	defer cancel()
	if err := in.WaitReady(ctx, target(options)); err != nil {
		return fmt.Errorf("%w; look at it with: kubectl get pods -n %s", err, options.Namespace)
	}
	if err := forgetOtherIssuer(ctx, in, options); err != nil {
		return err
	}
	fmt.Fprintln(cmd.OutOrStdout(), "podkeep is installed. Back up a namespace with: podkeep backup create NAME --include-namespaces NAMESPACE --wait")
	return nil
}

// checkMonitoring says that the Prometheus operator is missing before anything is
// installed.
func checkMonitoring(o install.Options, kinds meta.RESTMapper) error {
	if o.Monitoring == nil {
		return nil
	}
	for _, kind := range []string{monitoring.KindRule, monitoring.KindPodMonitor} {
		gvk := monitoring.GroupVersion.WithKind(kind)
		_, err := kinds.RESTMapping(gvk.GroupKind(), gvk.Version)
		switch {
		case meta.IsNoMatchError(err):
			return fmt.Errorf("--monitoring: the cluster has no kind %s of %s: install the Prometheus operator first, "+
				"or leave the flag out and load the rules that podkeep coverage --rules prints", kind, monitoring.GroupVersion)
		case err != nil:
			return fmt.Errorf("--monitoring: asking for kind %s: %w", kind, err)
		}
	}
	return nil
}

func target(o install.Options) installation.Target {
	t := installation.Target{
		Namespace:     o.Namespace,
		Deployments:   []string{install.ServerName, install.WebhookName},
		DaemonSet:     install.NodeAgentName,
		WebhookConfig: registration.ConfigurationName(o.Namespace),
	}
	if o.CertificateIssuer == serving.CertManager {
		t.Certificates = []string{install.AuthorityName, serving.CertificateName}
	}
	if o.Location != nil {
		t.Location = install.DefaultLocation
	}
	return t
}

// options turns the flags into what is installed, or says which flag is wrong.
func (f installFlags) options(fac *factory) (install.Options, error) {
	o := install.Options{
		Image: f.image, ImagePullPolicy: corev1.PullPolicy(f.imagePullPolicy), KubeletRootDir: f.kubeletRoot,
		NodeAgentConfigMap: f.nodeAgentConfig, PrivilegedNodeAgent: f.privileged,
		DefaultVolumesToFSBackup: f.defaultToFSB, ServerArgs: f.serverArgs, NodeAgentArgs: f.nodeAgentArgs, WebhookArgs: f.webhookArgs,
	}
	var err error
	if o.Namespace, err = fac.Namespace(); err != nil {
		return o, err
	}
	if f.output != "" && (!f.dryRun || f.output != "yaml") {
		return o, fmt.Errorf("--output: Unsupported value: %q: use --dry-run -o yaml", f.output)
	}
	if f.monitoring || len(f.monitorLabels) > 0 {
		o.Monitoring = &install.Monitoring{Labels: f.monitorLabels}
	}
	if o.RepositoryPassword, err = newPassword(); err != nil {
		return o, err
	}
	if o.Credentials, err = f.credentials(); err != nil {
		return o, err
	}
	o.Location, err = f.location()
	return o, err
}

func (f installFlags) credentials() ([]byte, error) {
	switch {
	case f.secretFile != "" && f.noSecret:
		return nil, fmt.Errorf("--secret-file and --no-secret exclude each other")
	case f.secretFile != "":
		data, err := os.ReadFile(f.secretFile)
		if err != nil {
			return nil, fmt.Errorf("--secret-file: %w", err)
		}
		return data, nil
	case !f.noSecret && !f.noLocation && f.provider == "aws":
		return nil, fmt.Errorf("--secret-file: Required value: name the file with the storage credentials, or pass --no-secret")
	}
	return nil, nil
}

func (f installFlags) location() (*install.Location, error) {
	if f.noLocation {
		return nil, nil
	}
	if f.provider == "" {
		return nil, fmt.Errorf("--provider: Required value: aws (any S3) or filesystem, or pass --no-default-backup-location")
	}
	l := &install.Location{Provider: f.provider, Bucket: f.bucket, Prefix: f.prefix, Config: f.config}
	if f.caCertFile == "" {
		return l, nil
	}
	var err error
	if l.CACert, err = os.ReadFile(f.caCertFile); err != nil {
		return nil, fmt.Errorf("--cacert: %w", err)
	}
	return l, nil
}

func newPassword() ([]byte, error) {
	b := make([]byte, repositoryPasswordBytes)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("making a repository password: %w", err)
	}
	return []byte(base64.RawURLEncoding.EncodeToString(b)), nil
}

func printObjects(w io.Writer, objects []client.Object) error {
	for _, obj := range objects {
		data, err := yaml.Marshal(obj)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", obj.GetName(), err)
		}
		if _, err := fmt.Fprintf(w, "---\n%s", data); err != nil {
			return err
		}
	}
	return nil
}
