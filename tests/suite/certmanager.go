package suite

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

const (
	certManagerModule    = "github.com/cert-manager/cert-manager"
	certManagerNamespace = "cert-manager"
)

// StartCertManager runs cert-manager in the cluster, from its own modules
// (tests/certmanager) and with its own definitions, until the end of the test.
func (c *Cluster) StartCertManager(t *testing.T) {
	t.Helper()
	g := NewWithT(t)
	objects := append(certManagerDefinitions(t), certManagerWorkloads(c.certManagerImage(t))...)
	t.Cleanup(func() { c.removeAll(t, objects) })
	for _, o := range objects {
		g.Eventually(func() error { // a run that was ended may still be on its way out
			err := c.Client.Create(t.Context(), o.DeepCopyObject().(client.Object))
			if apierrors.IsAlreadyExists(err) && o.GetObjectKind().GroupVersionKind().Kind != "Deployment" {
				return nil
			}
			return err
		}, Short, tick).Should(Succeed(), o.GetName())
	}
	g.Eventually(func(g Gomega) {
		list := &appsv1.DeploymentList{}
		g.Expect(c.Client.List(t.Context(), list, client.InNamespace(certManagerNamespace))).To(Succeed())
		g.Expect(list.Items).To(And(HaveLen(2), HaveEach(HaveField("Status.AvailableReplicas", BeEquivalentTo(1)))))
	}, Long, tick).Should(Succeed())
}

// removeAll deletes objects and waits until they are gone.
func (c *Cluster) removeAll(t *testing.T, objects []client.Object) {
	t.Helper()
	g := NewWithT(t)
	ctx, cancel := context.WithTimeout(context.Background(), Long)
	defer cancel()
	for _, o := range objects {
		g.Expect(client.IgnoreNotFound(c.Client.Delete(ctx, o))).To(Succeed())
	}
	for _, o := range objects {
		g.Eventually(func() bool {
			return apierrors.IsNotFound(c.Client.Get(ctx, client.ObjectKeyFromObject(o), o))
		}, Long, tick).Should(BeTrue(), o.GetName()+" is still there")
	}
}

// certManagerImage builds the image, which takes minutes the first time, and gives
// it to the cluster.
func (c *Cluster) certManagerImage(t *testing.T) string {
	t.Helper()
	g := NewWithT(t)
	archive := filepath.Join("build", "certmanager-linux-"+runtime.GOARCH+".tar")
	out, err := exec.Command("make", "-C", Root(), archive).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	load := exec.Command(filepath.Join(c.StateDir, "cluster"), "load-image", filepath.Join(Root(), archive))
	load.Env = append(os.Environ(), "PODKEEP_CLUSTER_DIR="+c.StateDir)
	out, err = load.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(out))
	name, err := os.ReadFile(filepath.Join(Root(), archive+".name"))
	g.Expect(err).NotTo(HaveOccurred())
	return strings.TrimSpace(string(name))
}

// certManagerDefinitions are those in cert-manager's module.
func certManagerDefinitions(t *testing.T) []client.Object {
	t.Helper()
	g := NewWithT(t)
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", certManagerModule)
	list.Dir = Root()
	dir, err := list.Output()
	g.Expect(err).NotTo(HaveOccurred())
	files, err := fs.Glob(os.DirFS(strings.TrimSpace(string(dir))), "deploy/crds/*.yaml")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).NotTo(BeEmpty())
	var objects []client.Object
	for _, file := range files {
		content, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), file))
		g.Expect(err).NotTo(HaveOccurred())
		u := &unstructured.Unstructured{}
		g.Expect(yaml.Unmarshal(content, &u.Object)).To(Succeed(), file)
		objects = append(objects, u)
	}
	return objects
}

// certManagerWorkloads are its controller and its injector, with the labels of
// cert-manager's own manifests. They may do everything: this is a test cluster.
func certManagerWorkloads(image string) []client.Object {
	subject := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Name: "default", Namespace: certManagerNamespace}
	return []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: certManagerNamespace}},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "cert-manager-test"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{subject},
		},
		certManagerDeployment(image, "cert-manager", "controller"),
		certManagerDeployment(image, "cainjector", "cainjector"),
	}
}

func certManagerDeployment(image, name, component string) *appsv1.Deployment {
	labels := map[string]string{"app.kubernetes.io/name": name, "app.kubernetes.io/component": component}
	return &appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: certManagerNamespace, Name: name, Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: ptr.To(int32(1)),
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{
					TerminationGracePeriodSeconds: ptr.To(int64(1)),
					DNSPolicy:                     corev1.DNSDefault,
					Containers: []corev1.Container{{
						Name: component, Image: image, ImagePullPolicy: corev1.PullNever,
						Command: []string{"/certmanager", component},
					}},
				},
			},
		},
	}
}

// InstallAgain runs podkeep install for the installation of all tests, as make
// cluster-up does and with more flags. It returns what the client printed. The test
// must run alone, and install again without flags when it ends.
func (c *Cluster) InstallAgain(t *testing.T, flags ...string) string {
	t.Helper()
	cmd := exec.Command(filepath.Join(Root(), "hack", "install.sh"), append([]string{c.Image(t)}, flags...)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig)
	out, err := cmd.CombinedOutput()
	NewWithT(t).Expect(err).NotTo(HaveOccurred(), string(out))
	return string(out)
}
