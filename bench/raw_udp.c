/* What the kernel allows: one thread sends with sendmmsg, one receives with recvmmsg, batches of 64, over loopback.
 * raw_udp BYTES SECONDS [SEGMENTS]: prints "packets-per-second cpu-microseconds-per-packet" of what was received. With
 * more than one segment each message is so many packets, which the kernel cuts (UDP_SEGMENT) and joins (UDP_GRO). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define MOST_BYTES 2048
#define MOST_JOINED_BYTES 65487

static int sender_fd, receiver_fd;
static size_t bytes, segments = 1;
static atomic_int stopping;
static atomic_long received;

struct batch {
  struct mmsghdr messages[BATCH];
  struct iovec vectors[BATCH];
};

static void prepare(struct batch *batch, size_t length) {
  memset(batch, 0, sizeof *batch);
  char *buffers = calloc(BATCH, length);
  if (!buffers) exit(1);
  for (size_t i = 0; i < BATCH; i++) {
    batch->vectors[i] = (struct iovec){buffers + i * length, length};
    batch->messages[i].msg_hdr.msg_iov = &batch->vectors[i];
    batch->messages[i].msg_hdr.msg_iovlen = 1;
  }
}

static void *send_all(void *unused) {
  static struct batch batch;
  prepare(&batch, bytes * segments);
  while (!atomic_load(&stopping)) sendmmsg(sender_fd, batch.messages, BATCH, 0);
  return unused;
}

static void *receive_all(void *unused) {
  static struct batch batch;
  prepare(&batch, segments > 1 ? MOST_JOINED_BYTES : MOST_BYTES);
  while (!atomic_load(&stopping)) {
    int count = recvmmsg(receiver_fd, batch.messages, BATCH, MSG_WAITFORONE, NULL);
    long packets = 0;
    for (int i = 0; i < count; i++) packets += (long)((batch.messages[i].msg_len + bytes - 1) / bytes);
    atomic_fetch_add(&received, packets);
  }
  return unused;
}

static int open_socket(struct sockaddr_in *address) {
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  int buffer = 4 << 20;
  struct timeval timeout = {0, 100000};
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof *address;
  if (fd < 0 || bind(fd, (struct sockaddr *)address, size) != 0) exit(1);
  getsockname(fd, (struct sockaddr *)address, &size);
  return fd;
}

/* Whether the kernel has the options, when they are wanted. */
static int joins(void) {
  int size = (int)bytes, on = 1;
  return segments == 1 || (setsockopt(sender_fd, IPPROTO_UDP, 103 /* UDP_SEGMENT */, &size, sizeof size) == 0 &&
                           setsockopt(receiver_fd, IPPROTO_UDP, 104 /* UDP_GRO */, &on, sizeof on) == 0);
}

static double seconds_of(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

int main(int argc, char **argv) {
  if (argc != 3 && argc != 4) return 2;
  bytes = (size_t)atol(argv[1]);
  double limit = atof(argv[2]);
  if (argc == 4) segments = (size_t)atol(argv[3]);
  if (bytes == 0 || segments == 0 || limit <= 0) return 2;
  if (bytes > MOST_BYTES || (segments > 1 && bytes * segments > MOST_JOINED_BYTES)) return 2;
  struct sockaddr_in from, to;
  sender_fd = open_socket(&from);
  receiver_fd = open_socket(&to);
  if (connect(sender_fd, (struct sockaddr *)&to, sizeof to) != 0) return 1;
  if (!joins()) return 3;  // this kernel cannot
  pthread_t threads[2];
  struct timespec wait = {(time_t)limit, (long)((limit - (double)(time_t)limit) * 1e9)};
  pthread_create(&threads[0], NULL, receive_all, NULL);
  pthread_create(&threads[1], NULL, send_all, NULL);
  nanosleep(&wait, NULL);
  long count = atomic_load(&received);
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  atomic_store(&stopping, 1);
  for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
  double cpu = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
  printf("%.0f %.3f\n", (double)count / limit, cpu * 1e6 / (double)count);
  return 0;
}
